use super::{ActiveSet, Admission, Candidate, Pick, Scheduler};
use crate::draws::Draws;

/// Any of them, each as likely as the other. Ignores weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

/// Draws before giving up on chance and looking at each in turn.
const DRAWS: usize = 8;

impl Scheduler for Random {
    fn pick(
        &mut self,
        active: &ActiveSet,
        admits: &dyn Fn(&Candidate) -> Admission,
        draw: u64,
    ) -> Option<Pick> {
        let candidates = active.candidates();
        let mut draws = Draws::new(draw);
        if candidates.is_empty() {
            return None;
        }
        for _ in 0..DRAWS {
            let candidate = &candidates[draws.below(candidates.len())];
            if draws.chance(candidate.load().share_permille()) && admits(candidate).is_granted() {
                return Some(Pick::new(candidate.index(), "drawn at random"));
            }
        }
        let start = draws.below(candidates.len());
        let (before, after) = candidates.split_at(start);
        let found = after.iter().chain(before).find(|c| admits(c).is_granted())?;
        Some(Pick::new(found.index(), "drawn at random among the few that may take it"))
    }
}
