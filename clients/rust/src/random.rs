//! Randomness, from the cryptography that TLS brings along.

use tokio_rustls::rustls::crypto::ring;

fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if ring::default_provider().secure_random.fill(&mut bytes).is_err() {
        panic!("the operating system gives no random bytes");
    }
    bytes
}

/// Returns a number from 0 to 1.
pub(crate) fn fraction() -> f64 {
    f64::from(u32::from_le_bytes(bytes())) / f64::from(u32::MAX)
}

/// Returns a fresh UUID, version 4.
pub(crate) fn uuid() -> String {
    let mut bytes: [u8; 16] = bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_of_version_4_and_differ() {
        let (one, two) = (uuid(), uuid());

        assert_ne!(one, two);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert!((0.0..=1.0).contains(&fraction()));
    }
}
