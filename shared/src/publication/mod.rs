//! One decision, then only repeatable effects: the job protocol, section 4.
