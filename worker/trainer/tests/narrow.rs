//! Training in bf16 on a CPU computes with numbers that its parameters keep: as with numbers made anew each time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::{json, models};
use tch::{Kind, Tensor};
use trainer::arithmetic::Arithmetic;
use trainer::batches::{Batch, Example};
use trainer::dropout::Dropout;
use trainer::encoder::{Classifier, HeadKind};
use trainer::model::Repository;
use trainer::optimizer;
use trainer::recompute::Tape;

/// Gradients of the same rows with the same dropout, by a model that was built for `kind`, computing in bf16. How many of
/// them are bf16, too.
fn gradients(name: &str, head: HeadKind, kind: Kind, recomputes: bool) -> (usize, Vec<(String, Tensor)>) {
    let mut repository = Repository::open(models().join(name), name).unwrap();
    repository.arithmetic = Arithmetic {
        kind,
        ..Arithmetic::default()
    };
    let model = repository.build(head, Classifier::New, Some(1)).unwrap();
    let texts = ["A fox jumps over the lazy dog".into(), "x".into()];
    let rows = repository.tokenizer.texts(&texts).unwrap();
    let examples: Vec<_> = rows.into_iter().map(|row| Example { row, targets: vec![] }).collect();
    let batch = Batch {
        kind: Kind::BFloat16,
        ..model.batch(&examples.iter().collect::<Vec<_>>())
    };
    let mut tape = Tape::new(recomputes);
    let logits = model.logits(&batch, &mut Dropout::of_step(1, 1, 0), &mut tape);
    let loss = (&logits * logits.cos()).sum(Kind::Float);
    let gradients = optimizer::gradients(&loss, tape, model.trained()).unwrap();
    let narrow = gradients.iter().filter(|gradient| gradient.kind() == Kind::BFloat16);
    let narrow = narrow.count();
    let whole = |gradient: Tensor| match gradient.is_sparse() {
        true => gradient.to_dense(None, false),
        false => gradient.to_kind(Kind::Float),
    };
    let names = model.trained().iter().map(|p| p.name.clone());
    (narrow, names.zip(gradients.into_iter().map(whole)).collect())
}

#[test]
fn gradients_are_those_through_numbers_made_anew_in_every_family() {
    let expected = json(&models().join("expected.json"));
    let mut keep = Vec::new();
    for name in expected["models"].as_object().unwrap().keys() {
        for head in [HeadKind::Text { labels: 3 }, HeadKind::Token { labels: 5 }] {
            for recomputes in [false, true] {
                let (none, anew) = gradients(name, head, Kind::Float, recomputes);
                let (narrow, kept) = gradients(name, head, Kind::BFloat16, recomputes);
                assert_eq!(none, 0, "{name}");
                assert_eq!(anew.len(), kept.len(), "{name}");
                for ((parameter, one), (_, other)) in anew.iter().zip(&kept) {
                    assert!(one.equal(other), "{name} {head:?}: {parameter}");
                }
                if narrow > 0 && !keep.contains(name) {
                    keep.push(name.clone());
                }
            }
        }
    }
    // What is used more often than once in a pass is made anew: layers of ALBERT, and DeBERTa's.
    let shares = |name: &&String| name.starts_with("albert") || name.starts_with("deberta");
    assert!(!keep.iter().any(|name| shares(&name)), "{keep:?}");
    let all = expected["models"].as_object().unwrap().keys();
    assert_eq!(keep.len(), all.filter(|name| !shares(name)).count(), "{keep:?}");
}
