//! The checksum of a payload.

use sha2::block_api::compress256;

/// The checksum of a payload: the first 4 bytes of its double SHA-256.
pub(super) fn checksum(payload: &[u8]) -> [u8; 4] {
    let digest = sha256(payload);
    // The second input fits one block: the digest, a one bit, zeros, and the length in bits.
    let mut block = [0; 64];
    let (words, _) = block.as_chunks_mut();
    words.iter_mut().zip(digest).for_each(|(bytes, word)| *bytes = word.to_be_bytes());
    if let [.., one, _, _, _, _, _, _, length] = words {
        *one = [0x80, 0, 0, 0];
        *length = 256_u32.to_be_bytes();
    }
    let mut state = START;
    compress256(&mut state, &[block]);
    let [first, ..] = state;
    first.to_be_bytes()
}

/// The initial state of SHA-256.
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// SHA-256 of bytes that are all present. A general hasher keeps a buffer for bytes to come, which costs as much as
/// half the hash of a short message.
#[inline]
fn sha256(bytes: &[u8]) -> [u32; 8] {
    let mut state = START;
    let (blocks, rest) = bytes.as_chunks();
    if !blocks.is_empty() {
        compress256(&mut state, blocks);
    }
    // The remaining bytes, a one bit, zeros, and the length in bits, in one block or two.
    let mut last = [[0; 64]; 2];
    if let Some((start, [one, ..])) = last.as_flattened_mut().split_at_mut_checked(rest.len()) {
        start.copy_from_slice(rest);
        *one = 0x80;
    }
    let used = if rest.len() < 56 { 1 } else { 2 };
    if let Some(used) = last.get_mut(..used) {
        if let Some(length) = used.as_flattened_mut().last_chunk_mut() {
            *length = (8 * bytes.len() as u64).to_be_bytes();
        }
        compress256(&mut state, used);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn a_checksum_is_the_start_of_the_double_hash() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..bytes.len() {
            let payload = &bytes[..length];
            assert_eq!(checksum(payload), Sha256::digest(Sha256::digest(payload))[..4], "{length} bytes");
        }
    }
}
