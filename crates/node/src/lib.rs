//! A guard node: consensus, services, sessions and the failure detector.
