//! The job protocol, explored exhaustively on the real ledger, staging and publication: what it promises holds in
//! every state that can be reached with a budget of faults, and each rule that is left out is missed.
//!
//! Each promise is checked in every exploration; the test that bears its name is the one that puts it most at risk.

use tests::exploration::{Configuration, Faults, Invariant, Report, Rule, explore};

fn run(configuration: Configuration) -> Report {
    let report = explore(configuration).expect("an exploration can be set up");
    println!(
        "{:?}: {} states, {} transitions, {} stores, {} histories, {:.1} s",
        configuration.faults,
        report.states,
        report.transitions,
        report.stores,
        report.histories,
        report.took.as_secs_f64()
    );
    report
}

/// Every state was reached, at least `states` of them, and nothing was broken in any.
fn holds(configuration: Configuration, states: usize) {
    let report = run(configuration);
    if let Some((violation, trace)) = &report.violation {
        panic!("{:?}: {}\n{}", violation.invariant, violation.text, trace.join("\n"));
    }
    assert!(report.complete, "the search ended at its limit");
    assert!(
        report.states >= states,
        "only {} states: faults were not tried",
        report.states
    );
}

/// Without the rule the invariant breaks.
fn is_missed(without: Rule, only: Invariant, configuration: Configuration) {
    let report = run(Configuration {
        without: Some(without),
        only: Some(only),
        ..configuration
    });
    let (violation, trace) = report.violation.expect("a rule that nobody would miss");
    println!("without {without:?}: {}\n{}", violation.text, trace.join("\n"));
    assert_eq!(violation.invariant, only);
}

fn faults(faults: Faults) -> Configuration {
    Configuration {
        faults,
        ..Configuration::default()
    }
}

#[test]
fn i1_a_job_has_at_most_one_card_though_zombies_publish_beside_successors() {
    holds(
        faults(Faults {
            steal: 1,
            crash: 1,
            cancel: 1,
            ..Faults::default()
        }),
        10_000,
    );
}

#[test]
fn i2_a_visible_version_never_changes_though_requests_arrive_late() {
    holds(
        faults(Faults {
            steal: 1,
            lost: 1,
            late: 1,
            ..Faults::default()
        }),
        10_000,
    );
}

#[test]
fn i3_what_is_cancelled_is_never_visible() {
    holds(
        faults(Faults {
            late: 1,
            cancel: 1,
            crash: 1,
            ..Faults::default()
        }),
        100_000,
    );
}

#[test]
fn i4_a_decision_stands_while_the_owner_renews() {
    holds(
        faults(Faults {
            renew: 1,
            steal: 1,
            crash: 1,
            ..Faults::default()
        }),
        10_000,
    );
}

#[test]
fn i5_two_jobs_take_numbers_without_hole_or_double() {
    holds(
        Configuration {
            jobs: 2,
            ..faults(Faults::default())
        },
        10_000,
    );
}

#[test]
fn i5_numbers_stay_whole_when_requests_arrive_late() {
    let late = Faults {
        late: 1,
        ..Faults::default()
    };
    holds(
        Configuration {
            jobs: 2,
            ..faults(late)
        },
        100_000,
    );
}

#[test]
fn i6_token_and_seq_only_grow_through_re_opening() {
    let budget = Faults {
        cancel: 1,
        reopen: 1,
        crash: 1,
        ..Faults::default()
    };
    holds(
        Configuration {
            deterministic: true,
            ..faults(budget)
        },
        10_000,
    );
}

#[test]
fn i7_every_job_can_end_though_trainings_fail_and_messages_are_lost() {
    holds(
        faults(Faults {
            error: 1,
            drop: 1,
            crash: 1,
            reopen: 1,
            lost: 1,
            ..Faults::default()
        }),
        100_000,
    );
}

#[test]
fn i8_a_job_that_kills_every_worker_ends() {
    holds(
        Configuration {
            killer: true,
            ..faults(Faults {
                lost: 1,
                ..Faults::default()
            })
        },
        1_000,
    );
}

#[test]
fn without_a_decided_floor_a_job_gets_two_versions() {
    let budget = faults(Faults {
        crash: 1,
        ..Faults::default()
    });
    is_missed(Rule::FloorIsDecided, Invariant::I5, budget);
    is_missed(Rule::FloorIsDecided, Invariant::I1, budget);
}

#[test]
fn a_cancel_after_the_decision_would_leave_a_visible_version() {
    let budget = faults(Faults {
        cancel: 1,
        ..Faults::default()
    });
    is_missed(Rule::DecidedJobsAreNotCancelled, Invariant::I4, budget);
    is_missed(Rule::DecidedJobsAreNotCancelled, Invariant::I3, budget);
}

#[test]
fn a_staging_folder_for_all_epochs_would_be_swept_under_the_next() {
    let budget = Faults {
        cancel: 1,
        reopen: 1,
        ..Faults::default()
    };
    let configuration = Configuration {
        deterministic: true,
        ..faults(budget)
    };
    is_missed(Rule::EpochsStageApart, Invariant::I7, configuration);
}

#[test]
fn an_owner_that_ignores_its_fence_would_publish_undecided_bytes() {
    let budget = faults(Faults {
        steal: 1,
        duplicate: 1,
        ..Faults::default()
    });
    is_missed(Rule::FencedOwnersStop, Invariant::I3, budget);
}

#[test]
fn copies_that_nobody_verifies_would_leave_a_torn_version() {
    is_missed(Rule::CopiesAreVerified, Invariant::I2, faults(Faults::default()));
}

#[test]
fn a_token_that_starts_again_would_be_seen() {
    let budget = Faults {
        cancel: 1,
        reopen: 1,
        ..Faults::default()
    };
    is_missed(Rule::TokensOnlyGrow, Invariant::I6, faults(budget));
}

#[test]
fn lost_claims_that_nobody_counts_would_never_end() {
    let configuration = Configuration {
        killer: true,
        workers: 1,
        ..Configuration::default()
    };
    is_missed(Rule::LostClaimsAreCounted, Invariant::I8, configuration);
}

#[test]
#[ignore = "minutes and a gigabyte: 4.3 million states"]
fn everything_holds_with_a_doubled_message_beside_zombie_crash_and_cancel() {
    let budget = Faults {
        steal: 1,
        duplicate: 1,
        crash: 1,
        cancel: 1,
        ..Faults::default()
    };
    holds(faults(budget), 4_000_000);
}

#[test]
#[ignore = "a minute: 1.4 million states"]
fn everything_holds_with_a_re_opening_beside_late_request_crash_and_cancel() {
    let budget = Faults {
        late: 1,
        cancel: 1,
        reopen: 1,
        crash: 1,
        ..Faults::default()
    };
    holds(faults(budget), 1_000_000);
}

#[test]
#[ignore = "half a minute: 0.4 million states of two jobs"]
fn everything_holds_for_two_jobs_and_a_crash() {
    let crash = Faults {
        crash: 1,
        ..Faults::default()
    };
    holds(
        Configuration {
            jobs: 2,
            ..faults(crash)
        },
        400_000,
    );
}
