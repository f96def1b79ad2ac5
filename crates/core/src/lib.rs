//! The rule book: state, commands, verdicts. Pure, deterministic, no_std.
