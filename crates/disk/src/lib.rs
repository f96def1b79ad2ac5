//! Durability in one place: the Disk trait, the real disk, a simulated disk that loses unsynced writes.
