//! Proof that core needs nothing of `std`: a static library of all of core with a panic handler and an allocator of
//! its own.
//!
//! Where any crate below links `std`, there are two panic handlers, and this does not build. It is linked and never
//! run.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]

use core::alloc::{GlobalAlloc, Layout};
use core::hint::spin_loop;
use core::panic::PanicInfo;
use core::ptr::null_mut;
use interlock_core::{ClusterId, Command, LogPosition, State};

/// Has no memory to give.
struct Nothing;

// SAFETY: `alloc` always returns null, which the contract of `GlobalAlloc` allows at any time and callers have to
// treat as memory exhausted. So no block exists that `dealloc` could be called with.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static NOTHING: Nothing = Nothing;

#[panic_handler]
fn stop(_: &PanicInfo<'_>) -> ! {
    loop {
        spin_loop();
    }
}

/// Everything that a state goes through: made, read, changed, written.
pub fn all_of_core(cluster: ClusterId, bytes: &[u8], at: LogPosition, command: &Command) -> usize {
    let mut state = State::from_bytes(bytes).unwrap_or_else(|_| State::genesis(cluster));
    let verdict = state.apply(at, command);
    state.to_bytes().len() + usize::from(verdict.is_denied())
}
