//! What must hold after every command, whatever it says: a verdict that says so changes the record and no other does, a
//! second copy of a command changes nothing, at once or late, no height and no epoch falls, and the state survives its
//! encoding and is the same on a second replica.

use super::world::World;
use interlock_core::{Command, LogPosition, Reserved, Rule, State, Verdict};

/// Whether a verdict says that something was changed.
fn says_changed(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Reserved(Reserved { repeat, .. }) => !repeat,
        Verdict::Approved(_) => verdict.rule() == Rule::Advance,
        Verdict::Granted(_) | Verdict::Released { .. } => true,
        Verdict::Changed { .. } | Verdict::RulesRaised { .. } => true,
        Verdict::AlreadyDone { .. } | Verdict::Denied(_) => false,
    }
}

impl World {
    /// A batch is exactly its items in order: each is applied once more by itself, and must do what it did there.
    pub(super) fn check_one_by_one(
        &self,
        before: State,
        log_index: u64,
        commands: &[Command],
        verdicts: &[Verdict],
    ) {
        let mut state = before;
        for ((item, command), verdict) in (0_u32..).zip(commands).zip(verdicts) {
            let was = state.clone();
            assert_eq!(&state.apply(LogPosition { log_index, item }, command), verdict);
            let changed = was.book() != state.book();
            assert_eq!(changed, says_changed(verdict), "{verdict:?} must change what it says, no more");
            for (key, record) in was.keys() {
                let now = state.key(key).expect("no key is ever forgotten");
                assert!(now.watermark.height() >= record.watermark.height(), "S4: {verdict:?} on {record:?}");
                assert!(now.epoch >= record.epoch, "S3: {verdict:?} on {record:?}");
            }
            let mut again = state.clone();
            again.apply(LogPosition { log_index: log_index + 1, item }, command);
            assert_eq!(again.book(), state.book(), "a second copy of {command:?} must change nothing");
        }
        assert_eq!(state, self.state);
        assert_eq!(State::from_bytes(&state.to_bytes()).unwrap(), state, "the state survives its encoding");
    }

    /// A late copy of any command that took effect changes nothing, however much has happened since.
    pub(super) fn check_late_copies(&self) {
        let mut state = self.state.clone();
        let mut log_index = self.log.len() as u64 + 1;
        for (_, commands, verdicts) in &self.log {
            for (command, _) in commands.iter().zip(verdicts).filter(|(_, verdict)| says_changed(verdict)) {
                log_index += 1;
                state.apply(LogPosition { log_index, item: 0 }, command);
                assert_eq!(state.book(), self.state.book(), "a late copy of {command:?} must change nothing");
            }
        }
    }

    /// A second replica that applies the same log must end in the same state with the same verdicts.
    pub(crate) fn replay(&self) {
        assert!(self.batch.is_none(), "a batch without `end`");
        let mut replica = self.origin.clone();
        for (log_index, commands, verdicts) in &self.log {
            let encoded = minicbor::to_vec(commands).unwrap();
            let decoded: Vec<Command> = minicbor::decode(&encoded).unwrap();
            assert_eq!(&replica.apply_batch(*log_index, &decoded), verdicts);
        }
        assert_eq!(replica, self.state);
        assert_eq!(replica.audit_chain(), self.state.audit_chain());
    }
}
