//! Secrets that are given out once and kept as digests.

use aws_lc_rs::{constant_time, digest, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// A new secret: the prefix, and 256 random bits in base64url.
///
/// # Panics
///
/// Where the operating system has no randomness to give, which leaves nothing safe to do.
pub(crate) fn generate(prefix: &str) -> String {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the operating system gives random bytes");
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// The SHA-256 digest. It is enough for a secret of 256 random bits: there is nothing to guess.
pub(crate) fn digest_of(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    array
}

/// Whether both digests are the same, in a time that tells nothing about where they differ.
pub(crate) fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_secrets_are_the_same_and_each_matches_its_own_digest_only() {
        let (one, other) = (generate("shk_"), generate("shk_"));
        assert_eq!(one.len(), "shk_".len() + 43);
        assert!(same(&digest_of(one.as_bytes()), &digest_of(one.as_bytes())));
        assert!(!same(&digest_of(one.as_bytes()), &digest_of(other.as_bytes())));
    }
}
