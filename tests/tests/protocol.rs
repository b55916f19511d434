//! The job protocol, explored exhaustively on the real ledger, staging and publication.

use tests::exploration::{Configuration, Faults, Invariant, Report, Rule, explore};

fn run(configuration: Configuration) -> Report {
    let report = explore(configuration).expect("an exploration");
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

#[test]
fn small() {
    let report = run(Configuration {
        faults: Faults {
            crash: 1,
            ..Faults::default()
        },
        ..Configuration::default()
    });
    assert_eq!(report.violation, None);
    assert!(report.complete);
    let _ = (Invariant::I1, Rule::FloorIsDecided);
}

#[test]
fn zombie() {
    let faults = Faults {
        steal: 1,
        duplicate: 1,
        crash: 1,
        cancel: 1,
        ..Faults::default()
    };
    let report = run(Configuration {
        faults,
        ..Configuration::default()
    });
    assert_eq!(report.violation, None);
}
