//! Waiting for the lease: a standby does not refuse at once, because a node never asks again for a refused step.

use interlock_client::KeyView;
use interlock_core::cometbft::Position;
use interlock_core::{Denial, Epoch, Holder, Rule};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// What is waited for.
#[derive(Debug)]
pub(crate) struct LeaseWait<'a> {
    /// This process.
    pub(crate) me: &'a Holder,
    /// The position that a node asked for.
    pub(crate) asked: Position,
    /// The wait ends here.
    pub(crate) until: Instant,
    /// Only a later epoch counts: this one was refused.
    pub(crate) after: Option<Epoch>,
}

impl LeaseWait<'_> {
    /// The epoch under which this process holds the lease, or why it does not, with the rule.
    pub(crate) async fn run(&self, mut view: watch::Receiver<Option<KeyView>>) -> Result<Epoch, String> {
        loop {
            let judged = self.judge(view.borrow_and_update().as_ref());
            match judged {
                Judged::Held(epoch) => return Ok(epoch),
                Judged::Refused(text) => return Err(text),
                Judged::Wait(text) => match timeout_at(self.until, view.changed()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Err("the signer shuts down".to_owned()),
                    Err(_) => return Err(text),
                },
            }
        }
    }

    fn judge(&self, view: Option<&KeyView>) -> Judged {
        let Some(view) = view else {
            return Judged::Wait(format!(
                "{}: no guard node has said who holds the lease",
                Rule::HolderMatches
            ));
        };
        let not_holder = || {
            let (holder, epoch, asked) = (view.holder.clone(), view.epoch, self.me.clone());
            Denial::NotHolder { holder, epoch, asked }.to_string()
        };
        if view.holder.as_ref() == Some(self.me) {
            // An epoch that the guard refused, still in the view: the news are on their way.
            return match self.after {
                Some(refused) if view.epoch <= refused => Judged::Wait(not_holder()),
                _ => Judged::Held(view.epoch),
            };
        }
        if !view.active {
            return Judged::Refused(format!("{}: the key is not active", Rule::KeyActive));
        }
        match view.approved {
            Some(approved) if approved >= self.asked => {
                Judged::Refused(format!("{}, and reached {approved}", not_holder()))
            }
            _ => Judged::Wait(not_holder()),
        }
    }
}

enum Judged {
    Held(Epoch),
    Refused(String),
    /// Refused with this text when nothing changes in time.
    Wait(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_core::cometbft::Step;
    use interlock_core::{Incarnation, SignerId};
    use std::time::Duration;

    fn process(name: &str) -> Holder {
        Holder { signer: SignerId::parse(name).unwrap(), incarnation: Incarnation([1; 16]) }
    }

    fn position(height: u64) -> Position {
        Position { height, round: 0, step: Step::Prevote }
    }

    fn view(holder: &str, epoch: u64, approved: u64) -> Option<KeyView> {
        Some(KeyView {
            holder: Some(process(holder)),
            epoch: Epoch(epoch),
            active: true,
            approved: Some(position(approved)),
            log_index: epoch + approved,
        })
    }

    async fn wait_on(view: watch::Receiver<Option<KeyView>>, after: Option<Epoch>) -> Result<Epoch, String> {
        let until = Instant::now() + Duration::from_millis(300);
        LeaseWait { me: &process("alpha"), asked: position(10), until, after }.run(view).await
    }

    #[tokio::test(start_paused = true)]
    async fn the_holder_goes_on_at_once() {
        let (_sender, receiver) = watch::channel(view("alpha", 3, 9));
        assert_eq!(wait_on(receiver, None).await, Ok(Epoch(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_grant_ends_the_wait() {
        let (sender, receiver) = watch::channel(view("beta", 3, 9));
        let waiting = tokio::spawn(wait_on(receiver, None));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!waiting.is_finished());
        sender.send(view("alpha", 4, 9)).unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(Epoch(4)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_holder_reaching_the_position_ends_the_wait() {
        let (sender, receiver) = watch::channel(view("beta", 3, 9));
        let started = Instant::now();
        let waiting = tokio::spawn(wait_on(receiver, None));
        tokio::time::sleep(Duration::from_millis(50)).await;
        sender.send(view("beta", 3, 10)).unwrap();
        let text = waiting.await.unwrap().unwrap_err();
        assert!(text.starts_with("R4 HolderMatches: beta/"), "{text}");
        assert!(started.elapsed() < Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_is_bounded_and_names_rule_and_holder() {
        let (_sender, receiver) = watch::channel(view("beta", 3, 9));
        let started = Instant::now();
        let text = wait_on(receiver, None).await.unwrap_err();
        assert!(text.starts_with("R4 HolderMatches: beta/01010101 holds the lease of epoch 3"), "{text}");
        assert!(started.elapsed() >= Duration::from_millis(300));

        let (_sender, receiver) = watch::channel(None);
        assert!(wait_on(receiver, None).await.unwrap_err().starts_with("R4 "));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_epoch_is_not_used_again() {
        let (sender, receiver) = watch::channel(view("alpha", 3, 9));
        let waiting = tokio::spawn(wait_on(receiver, Some(Epoch(3))));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!waiting.is_finished());
        sender.send(view("alpha", 5, 9)).unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(Epoch(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_frozen_key_is_refused_at_once() {
        let frozen = view("beta", 3, 9).map(|view| KeyView { active: false, ..view });
        let (_sender, receiver) = watch::channel(frozen);
        assert!(wait_on(receiver, None).await.unwrap_err().starts_with("R3 KeyActive"));
    }
}
