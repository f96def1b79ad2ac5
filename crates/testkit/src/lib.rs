//! Scenarios, generators, event log and history checkers for tests.
