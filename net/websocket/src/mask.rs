//! The masking of client frames (RFC 6455 §5.3).

/// XORs `payload` with `key`, starting at byte `phase % 4` of the key. Masks and unmasks alike.
///
/// `phase` is how many payload bytes of the frame came before, so that a frame can be worked on in pieces.
pub fn mask(payload: &mut [u8], key: [u8; 4], phase: usize) {
    let mut key = key;
    key.rotate_left(phase % 4);
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_definition_at_every_length_and_phase() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..70usize {
            for phase in 0..9usize {
                let plain: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
                let expected: Vec<u8> =
                    plain.iter().enumerate().map(|(i, b)| b ^ key[(i + phase) % 4]).collect();
                let mut masked = plain.clone();
                mask(&mut masked, key, phase);
                assert_eq!(masked, expected, "length {length} phase {phase}");
                mask(&mut masked, key, phase);
                assert_eq!(masked, plain);
            }
        }
    }
}
