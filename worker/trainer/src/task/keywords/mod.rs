//! Keywords as KeyBERT's `extract_keywords` finds them: the words and phrases of a document whose embeddings are most
//! like the document's own.

mod candidates;
mod mmr;
mod rank;
mod similarity;
mod stop_words;

pub use candidates::Candidates;

use anyhow::{Result, bail, ensure};
use similarity::Unit;
use trainer_protocol::KeywordOptions;

/// A keyword and its cosine similarity to the document, rounded to 4 digits.
pub type Keyword = (String, f64);

/// Turns texts into vectors of one length, one each, in order.
pub type Embed<'a> = dyn FnMut(&[String]) -> Result<Vec<Vec<f32>>> + 'a;

/// The keywords of each document, best first: what `KeyBERT(model).extract_keywords(documents, …)` of KeyBERT 0.9 gives
/// for a list of documents. A document without candidates has none.
///
/// `embed` is called once with the documents and once
/// with the candidates of all documents, each distinct one once. Equal similarities are ordered by candidate, last code
/// points first (numpy leaves that open); with `use_mmr`, first code points first.
///
/// # Errors
/// Options out of range, what `embed` reports, and embeddings that do not fit together.
pub fn extract(documents: &[String], options: &KeywordOptions, embed: &mut Embed<'_>) -> Result<Vec<Vec<Keyword>>> {
    ensure!(options.top_n > 0, "top_n is 0, expected at least 1");
    ensure!(
        (0.0..=1.0).contains(&options.diversity),
        "diversity is {}, expected 0 to 1",
        options.diversity
    );
    let candidates = Candidates::find(documents, options)?;
    if candidates.names().is_empty() {
        return Ok(vec![Vec::new(); documents.len()]);
    }
    let document_units = units(embed, documents)?;
    let candidate_units = units(embed, candidates.names())?;
    let top_n = options.top_n as usize;
    let mut all = Vec::with_capacity(documents.len());
    for (document, indices) in document_units.iter().zip(candidates.of_documents()) {
        let own: Vec<&Unit> = indices.iter().map(|&index| &candidate_units[index]).collect();
        let similarities: Vec<f32> = own.iter().map(|unit| unit.dot(document)).collect();
        let chosen = if options.use_mmr {
            mmr::choose(&similarities, &own, top_n, options.diversity as f32)
        } else {
            rank::best(&similarities, top_n)
        };
        let keywords = chosen.into_iter().map(|(place, score)| {
            let name = candidates.names()[indices[place]].clone();
            (name, score)
        });
        all.push(keywords.collect());
    }
    Ok(all)
}

/// Embeddings of `texts`, scaled to length 1.
fn units(embed: &mut Embed<'_>, texts: &[String]) -> Result<Vec<Unit>> {
    let vectors = embed(texts)?;
    ensure!(
        vectors.len() == texts.len(),
        "{} embeddings for {} texts",
        vectors.len(),
        texts.len()
    );
    let width = vectors.first().map_or(0, Vec::len);
    for (text, vector) in texts.iter().zip(&vectors) {
        if vector.len() != width {
            bail!("embeddings of {} and {width} numbers", vector.len());
        }
        if !vector.iter().all(|number| number.is_finite()) {
            let start: String = text.chars().take(40).collect();
            bail!("the embedding of `{start}` is not finite");
        }
    }
    Ok(vectors.into_iter().map(Unit::new).collect())
}
