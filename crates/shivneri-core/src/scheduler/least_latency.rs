use super::{ActiveSet, Admission, Candidate, Pick, Reason, Scheduler};
use crate::draws::Draws;

/// The default: of two drawn at random, the one with the shorter expected wait.
///
/// The expected wait is the moving peak of a provider's latency times what it has in flight and
/// one, over its weight (power of two choices over peak EWMA). It learns from successes and adds
/// a penalty for failures. Each candidate gets at least 5 % of the picks, or half an equal share
/// where there are more than ten, so that all stay warm.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastLatency;

/// Draws before giving up on chance and looking at each in turn.
const DRAWS: usize = 8;
const WARM_PERMILLE: u32 = 50;

impl Scheduler for LeastLatency {
    fn pick(
        &mut self,
        active: &ActiveSet,
        admits: &dyn Fn(&Candidate) -> Admission,
        draw: u64,
    ) -> Option<Pick> {
        let candidates = active.candidates();
        let count = candidates.len();
        let mut draws = Draws::new(draw);
        if count == 0 {
            return None;
        }
        let warm = WARM_PERMILLE.saturating_mul(count as u32).min(500);
        if draws.chance(warm) {
            let candidate = &candidates[draws.below(count)];
            if draws.chance(candidate.load().share_permille()) && admits(candidate).is_granted() {
                return Some(Pick::new(candidate.index(), "drawn to keep it warm"));
            }
        }
        let mut first: Option<&Candidate> = None;
        for _ in 0..DRAWS {
            let candidate = &candidates[draws.below(count)];
            if first.is_some_and(|first| first.index() == candidate.index()) {
                continue;
            }
            if !admits(candidate).is_granted() {
                continue;
            }
            match first {
                None => first = Some(candidate),
                Some(first) => return Some(cheaper(first, candidate)),
            }
        }
        match first {
            Some(only) if count <= 2 || count > DRAWS => {
                Some(Pick::new(only.index(), "the only one drawn that may take it"))
            }
            Some(_) | None => cheapest(candidates, admits),
        }
    }
}

fn cheaper(one: &Candidate, two: &Candidate) -> Pick {
    let wait = |c: &Candidate| c.load().expected_wait(c.weight());
    let (a, b) = (wait(one), wait(two));
    let (index, own, other) = if a <= b { (one.index(), a, b) } else { (two.index(), b, a) };
    Pick { index, reason: Reason::Cheaper { own, other } }
}

/// The cheapest of all, where chance did not find one.
fn cheapest(candidates: &[Candidate], admits: &dyn Fn(&Candidate) -> Admission) -> Option<Pick> {
    let may = candidates.iter().filter(|c| admits(c).is_granted());
    let best = may.min_by_key(|c| c.load().expected_wait(c.weight()))?;
    Some(Pick::new(best.index(), "the shortest expected wait of those that may take it"))
}
