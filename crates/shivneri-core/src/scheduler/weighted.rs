use super::{ActiveSet, Admission, Candidate, Pick, Scheduler};

/// Smooth weighted round-robin, as nginx does it: over any stretch each gets its weight's share,
/// spread evenly. Looks at every candidate each time.
#[derive(Clone, Debug, Default)]
pub struct Weighted {
    version: u64,
    credit: Vec<i64>,
}

impl Scheduler for Weighted {
    fn pick(
        &mut self,
        active: &ActiveSet,
        admits: &dyn Fn(&Candidate) -> Admission,
        _draw: u64,
    ) -> Option<Pick> {
        if self.version != active.version() || self.credit.len() != active.candidates().len() {
            self.version = active.version();
            self.credit = vec![0; active.candidates().len()];
        }
        let mut total = 0;
        let mut best: Option<usize> = None;
        for candidate in active.candidates() {
            if !admits(candidate).is_granted() {
                continue;
            }
            let index = candidate.index();
            let weight =
                i64::from(candidate.weight()) * i64::from(candidate.load().share_permille().max(1));
            total += weight;
            self.credit[index] += weight;
            if best.is_none_or(|best| self.credit[index] > self.credit[best]) {
                best = Some(index);
            }
        }
        let index = best?;
        self.credit[index] -= total;
        Some(Pick::new(index, "the most owed by weight"))
    }
}
