//! Maximal marginal relevance (Carbonell, Goldstein: "The use of MMR, diversity-based reranking", 1998), as in
//! KeyBERT's `_mmr.py`.

use super::rank::rounded;
use super::similarity::Unit;

/// Up to `top_n` candidates: the one most like the document, then always the one with the greatest
/// `(1 - diversity) * similarity - diversity * (greatest similarity to those chosen)`; of equals the earlier one.
/// They come back with their rounded similarities, greatest first; of equals the one chosen first.
pub(super) fn choose(similarities: &[f32], units: &[&Unit], top_n: usize, diversity: f32) -> Vec<(usize, f64)> {
    let mut open: Vec<usize> = (0..similarities.len()).collect();
    // Per candidate: how like it is to the chosen one most like it.
    let mut nearest = vec![f32::NEG_INFINITY; similarities.len()];
    let mut chosen: Vec<(usize, f64)> = Vec::new();
    while chosen.len() < top_n && !open.is_empty() {
        let worth = |candidate: usize| {
            if chosen.is_empty() {
                similarities[candidate]
            } else {
                (1.0 - diversity) * similarities[candidate] - diversity * nearest[candidate]
            }
        };
        let mut place = 0;
        for other in 1..open.len() {
            if worth(open[other]) > worth(open[place]) {
                place = other;
            }
        }
        let best = open.remove(place);
        chosen.push((best, rounded(similarities[best])));
        for &candidate in &open {
            nearest[candidate] = nearest[candidate].max(units[candidate].dot(units[best]));
        }
    }
    chosen.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(diversity: f32) -> Vec<usize> {
        let document = Unit::new(vec![1.0, 0.2]);
        let units = [[1.0, 0.2], [1.0, 0.25], [0.2, 1.0]].map(|vector| Unit::new(vector.to_vec()));
        let similarities: Vec<f32> = units.iter().map(|unit| unit.dot(&document)).collect();
        let units: Vec<&Unit> = units.iter().collect();
        choose(&similarities, &units, 2, diversity)
            .into_iter()
            .map(|(index, _)| index)
            .collect()
    }

    #[test]
    fn without_diversity_the_nearest_win() {
        assert_eq!(chosen(0.0), [0, 1]);
    }

    #[test]
    fn with_diversity_a_near_copy_loses() {
        assert_eq!(chosen(0.7), [0, 2]);
    }

    #[test]
    fn fewer_candidates_than_wanted_all_come() {
        let unit = Unit::new(vec![1.0]);
        assert_eq!(choose(&[1.0], &[&unit], 5, 0.5), [(0, 1.0)]);
        assert_eq!(choose(&[], &[], 5, 0.5), []);
    }
}
