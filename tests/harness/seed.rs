use std::{ops::Range, time::Duration};

/// Draws that a printed number makes again.
#[derive(Debug)]
pub(crate) struct Seed(u64);

impl Seed {
    /// The one that `SHIVNERI_SEED` names, or a new one; printed either way.
    pub(crate) fn of_story(story: &str) -> Self {
        let given = std::env::var("SHIVNERI_SEED").ok();
        let seed = given.map_or_else(Self::fresh, |text| text.parse().unwrap());
        println!("{story}: SHIVNERI_SEED={seed}");
        Self(seed)
    }

    fn fresh() -> u64 {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        u64::from(now.subsec_nanos()) ^ now.as_secs() << 16
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A time in this range of milliseconds.
    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.below(range.end - range.start))
    }
}

/// How often something is done: as this variable says, or else so often.
pub(crate) fn times(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}
