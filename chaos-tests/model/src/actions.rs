//! The steps that the world can take, and which of them are open in a state.

use crate::behaviour::GuardModel;
use crate::operator::Order;
use crate::plant::Plant;
use crate::setting::Setting;
use crate::signer::Crash;
use crate::world::{Answer, Request, World};

macro_rules! kinds {
    ($($name:ident $text:literal,)*) => {
        /// Kinds of step, for counting.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub(crate) enum Kind { $($name,)* }

        impl Kind {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),*];

            pub(crate) fn text(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

kinds! {
    Ask "ask",
    SignInWindow "sign in window",
    GiveUp "give a request up, its outcome unknown",
    SignUnknown "sign a request whose outcome is unknown",
    DeliverRequest "deliver request",
    ReceiveAnswer "receive answer",
    Acquire "acquire",
    Reserve "reserve",
    Release "release",
    HandOver "hand over",
    Crash "crash",
    CrashMarkLost "crash, pending mark lost",
    CrashLost "crash, watermark lost",
    Presume "presume a lease",
    Enroll "enroll",
    Freeze "freeze",
    Unfreeze "unfreeze",
    Import "import",
    AddKey "add key",
    BackUp "back up",
    Restore "restore",
    Lift "lift quarantine",
    PinAnew "pin anew",
}

/// One step. Numbers are those of signers, keys and payloads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Ask { signer: u8, key: u8, payload: u8 },
    SignUnknown { signer: u8, key: u8 },
    Deliver(Request),
    Receive(Answer),
    Acquire { signer: u8, key: u8 },
    Reserve { signer: u8, key: u8, height: u64 },
    Release { signer: u8, key: u8 },
    HandOver { key: u8, signer: u8 },
    Crash { signer: u8, how: Crash },
    Presume { signer: u8, key: u8 },
    Enroll { signer: u8, key: u8 },
    Order { key: u8, order: Order },
    BackUp,
    Restore,
    PinAnew { signer: u8 },
}

impl Step {
    pub(crate) fn kind(&self, in_window: bool) -> Kind {
        match self {
            Self::Ask { .. } if in_window => Kind::SignInWindow,
            Self::Ask { .. } => Kind::Ask,
            Self::SignUnknown { .. } => Kind::SignUnknown,
            Self::Deliver(_) => Kind::DeliverRequest,
            Self::Receive(_) => Kind::ReceiveAnswer,
            Self::Acquire { .. } => Kind::Acquire,
            Self::Reserve { .. } => Kind::Reserve,
            Self::Release { .. } => Kind::Release,
            Self::HandOver { .. } => Kind::HandOver,
            Self::Crash { how: Crash::Kept, .. } => Kind::Crash,
            Self::Crash { how: Crash::MarkLost, .. } => Kind::CrashMarkLost,
            Self::Crash { how: Crash::Lost, .. } => Kind::CrashLost,
            Self::Presume { .. } => Kind::Presume,
            Self::Enroll { .. } => Kind::Enroll,
            Self::Order { order: Order::Freeze, .. } => Kind::Freeze,
            Self::Order { order: Order::Unfreeze, .. } => Kind::Unfreeze,
            Self::Order { order: Order::Import, .. } => Kind::Import,
            Self::Order { order: Order::Lift, .. } => Kind::Lift,
            Self::Order { order: Order::Add, .. } => Kind::AddKey,
            Self::BackUp => Kind::BackUp,
            Self::Restore => Kind::Restore,
            Self::PinAnew { .. } => Kind::PinAnew,
        }
    }
}

/// The kinds of step that a world is there to take. One that was not taken proves nothing.
pub(crate) fn expected(setting: &Setting) -> Vec<Kind> {
    let budget = setting.budget;
    let restores = budget.restores > 0;
    let kinds = [
        (true, Kind::Ask),
        (true, Kind::DeliverRequest),
        (true, Kind::ReceiveAnswer),
        (budget.asks > 1, Kind::GiveUp),
        (budget.reserves > 0, Kind::Reserve),
        (budget.reserves > 0, Kind::SignInWindow),
        (budget.acquires > 0, Kind::Acquire),
        (budget.releases > 0, Kind::Release),
        (budget.handovers > 0, Kind::HandOver),
        (budget.crashes > 0, Kind::Crash),
        (budget.crashes > 0, Kind::CrashMarkLost),
        (budget.losses > 0, Kind::CrashLost),
        (budget.losses > 0, Kind::Enroll),
        (budget.presumptions > 0, Kind::Presume),
        (budget.freezes > 0, Kind::Freeze),
        (budget.freezes > 0, Kind::Unfreeze),
        (budget.imports > 0 || restores, Kind::Import),
        (budget.adds > 0, Kind::AddKey),
        (restores, Kind::BackUp),
        (restores, Kind::Restore),
        (restores, Kind::Lift),
        (restores, Kind::PinAnew),
    ];
    kinds.into_iter().filter(|(expected, _)| *expected).map(|(_, kind)| kind).collect()
}

/// Every step that may be open; a step that turns out to change nothing is dropped where it is taken.
pub(crate) fn open(model: &GuardModel, world: &World, steps: &mut Vec<Step>) {
    steps.extend(world.requests.iter().cloned().map(Step::Deliver));
    steps.extend(world.answers.iter().cloned().map(Step::Receive));
    for signer in 0..model.setting.signers {
        for key in 0..model.keys() {
            of_seat(model, world, signer, key, steps);
        }
        of_process(world, signer, steps);
    }
    for key in 0..model.keys() {
        of_operator(model, world, key, steps);
    }
    if world.left.restores > 0 {
        steps.push(if world.backup.is_some() { Step::Restore } else { Step::BackUp });
    }
}

fn of_seat(model: &GuardModel, world: &World, signer: u8, key: u8, steps: &mut Vec<Step>) {
    let (seat, left) = (world.seat(signer, key), world.left);
    if seat.call.is_some() && model.has(Plant::SignsOnUnknown) {
        steps.push(Step::SignUnknown { signer, key });
    }
    if left.asks > 0 && (seat.lease.is_some() || seat.windows.epoch().is_some()) {
        let payloads = 0..model.setting.payloads.len();
        let ask = |payload| Step::Ask { signer, key, payload: u8::try_from(payload).unwrap_or(u8::MAX) };
        steps.extend(payloads.map(ask));
    }
    if seat.lease.is_some() {
        if left.reserves > 0 {
            steps.extend(model.heights.iter().map(|height| Step::Reserve { signer, key, height: *height }));
        }
        if left.releases > 0 {
            steps.push(Step::Release { signer, key });
        }
    } else {
        if left.acquires > 0 {
            steps.push(Step::Acquire { signer, key });
        }
        if left.presumptions > 0 {
            steps.push(Step::Presume { signer, key });
        }
    }
    if seat.local.is_none() {
        steps.push(Step::Enroll { signer, key });
    }
}

fn of_process(world: &World, signer: u8, steps: &mut Vec<Step>) {
    if world.left.crashes > 0 {
        steps.push(Step::Crash { signer, how: Crash::Kept });
        steps.push(Step::Crash { signer, how: Crash::MarkLost });
    }
    if world.left.losses > 0 {
        steps.push(Step::Crash { signer, how: Crash::Lost });
    }
    if world.cluster > world.processes[usize::from(signer)].cluster {
        steps.push(Step::PinAnew { signer });
    }
}

fn of_operator(model: &GuardModel, world: &World, key: u8, steps: &mut Vec<Step>) {
    let left = world.left;
    let order = |order| Step::Order { key, order };
    if left.handovers > 0 {
        steps.extend((0..model.setting.signers).map(|signer| Step::HandOver { key, signer }));
    }
    if left.freezes > 0 {
        steps.push(order(Order::Freeze));
    }
    if model.setting.budget.freezes > 0 {
        steps.push(order(Order::Unfreeze));
    }
    if left.imports > 0 || !world.lost_height.is_empty() {
        steps.push(order(Order::Import));
    }
    if !world.lost_height.is_empty() {
        steps.push(order(Order::Lift));
    }
    if left.adds > 0 {
        steps.push(order(Order::Add));
    }
}
