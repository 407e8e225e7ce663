//! Many random numbers from one: splitmix64 (Steele, Lea, Flood 2014). Not for secrets.

/// A sequence of uniform `u64`s from a seed.
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// The sequence of this seed; the same seed gives the same sequence.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub const fn below(&mut self, bound: usize) -> usize {
        ((self.draw() as u128 * bound as u128) >> 64) as usize
    }

    /// True with this probability in thousandths.
    pub const fn chance(&mut self, permille: u32) -> bool {
        self.below(1000) < permille as usize
    }
}
