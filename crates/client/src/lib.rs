//! Client of the guard: leader discovery, sessions, permits.
