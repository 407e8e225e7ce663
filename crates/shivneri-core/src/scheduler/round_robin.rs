use super::{ActiveSet, Admission, Candidate, Pick, Scheduler};
use crate::draws::Draws;

/// One after the other, in a circle. Ignores weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin {
    next: usize,
}

impl Scheduler for RoundRobin {
    fn pick(
        &mut self,
        active: &ActiveSet,
        admits: &dyn Fn(&Candidate) -> Admission,
        draw: u64,
    ) -> Option<Pick> {
        let candidates = active.candidates();
        let mut draws = Draws::new(draw);
        let mut skipped = None;
        for step in 0..candidates.len() {
            let candidate = &candidates[(self.next + step) % candidates.len()];
            if !admits(candidate).is_granted() {
                continue;
            }
            if draws.chance(candidate.load().share_permille()) {
                self.next = candidate.index() + 1;
                return Some(Pick::new(candidate.index(), "its turn in the circle"));
            }
            skipped = skipped.or(Some(candidate.index()));
        }
        // Only recovering ones may take it, and none of them won its draw.
        let index = skipped?;
        self.next = index + 1;
        Some(Pick::new(index, "its turn in the circle, recovering"))
    }
}
