//! The screen: redrawn in place on a terminal, one line per event elsewhere. Everything goes to stderr.

use super::board::Board;
use interlock_toychain::Event;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard};

/// A hexadecimal word of this length or more is a digest, and is shortened.
const DIGEST_DIGITS_MIN: usize = 32;
const DIGEST_DIGITS_SHOWN: usize = 8;
const HIDE_CURSOR_AND_WRAPPING: &str = "\x1b[?25l\x1b[?7l";
const SHOW_CURSOR_AND_WRAPPING: &str = "\x1b[?25h\x1b[?7h";

/// Cheap to clone; clones share the screen.
#[derive(Clone)]
pub(super) struct Screen {
    board: Arc<Mutex<Board>>,
    drawn: Arc<Mutex<Drawn>>,
}

struct Drawn {
    live: bool,
    /// Lines that are on the terminal, to be drawn over.
    lines: usize,
}

impl Screen {
    pub(super) fn new() -> Self {
        let live = std::io::stderr().is_terminal();
        if live {
            print(HIDE_CURSOR_AND_WRAPPING);
        }
        Self {
            board: Arc::new(Mutex::new(Board::new())),
            drawn: Arc::new(Mutex::new(Drawn { live, lines: 0 })),
        }
    }

    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().expect("nobody panics while holding the board")
    }

    pub(super) fn take_in(&self, event: &Event) {
        self.board().take_in(event);
    }

    /// Tells the next piece of the story.
    pub(super) fn say(&self, text: &str) {
        let text = shorten_digests(text);
        let elapsed = {
            let mut board = self.board();
            let elapsed = board.elapsed();
            board.told.push((elapsed, text.clone()));
            elapsed
        };
        if self.drawn().live {
            self.draw();
        } else {
            print(&format!("{:5.1} s  {text}\n", elapsed.as_secs_f64()));
        }
    }

    /// Says how things are now.
    pub(super) fn tick(&self) {
        if self.drawn().live {
            self.draw();
        }
    }

    /// Says how things are now, where nothing is redrawn.
    pub(super) fn milestone(&self) {
        if !self.drawn().live {
            let (elapsed, line) = {
                let mut board = self.board();
                if !board.chain_began() {
                    return;
                }
                (board.elapsed(), board.line())
            };
            print(&format!("{:5.1} s    {line}\n", elapsed.as_secs_f64()));
        }
    }

    fn draw(&self) {
        let mut lines = Vec::new();
        {
            let mut board = self.board();
            let elapsed = board.elapsed().as_secs_f64();
            lines.push(format!("\x1b[1minterlock demo\x1b[0m  {elapsed:.1} s"));
            lines.push(String::new());
            lines.extend(board.lines().map(|line| format!("  {line}")));
            lines.push(String::new());
            let told = board.told.iter();
            lines.extend(told.map(|(at, text)| format!("  {:5.1} s  {text}", at.as_secs_f64())));
        }
        let mut drawn = self.drawn();
        let mut text = String::new();
        if drawn.lines > 0 {
            let _infallible = write!(text, "\x1b[{}A", drawn.lines);
        }
        for line in &lines {
            let _infallible = write!(text, "\r\x1b[2K{line}\n");
        }
        drawn.lines = lines.len();
        print(&text);
    }

    fn drawn(&self) -> MutexGuard<'_, Drawn> {
        self.drawn.lock().expect("nobody panics while drawing")
    }
}

impl Drop for Drawn {
    fn drop(&mut self) {
        if self.live {
            print(SHOW_CURSOR_AND_WRAPPING);
        }
    }
}

fn print(text: &str) {
    // The story is a courtesy: without a stderr the result still comes on stdout.
    let mut stderr = std::io::stderr().lock();
    let _nobody_watches = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Keeps the first digits of each digest.
fn shorten_digests(text: &str) -> String {
    let shorten = |word: &str| {
        let digits = word.chars().take_while(char::is_ascii_hexdigit).count();
        if digits >= DIGEST_DIGITS_MIN {
            format!("{}..{}", &word[..DIGEST_DIGITS_SHOWN], &word[digits..])
        } else {
            word.to_owned()
        }
    };
    text.split(' ').map(shorten).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digests_are_shortened() {
        let digest = "ab".repeat(32);
        let text = format!("payload {digest} was approved, {digest}, not deadbeef");
        assert_eq!(shorten_digests(&text), "payload abababab.. was approved, abababab.., not deadbeef");
    }
}
