//! Random bytes, from the operating system. Pure.
//!
//! Not from the library that signs: that one gathers randomness of its own first, which takes a new connection 25 ms before its first
//! write.

#[derive(Debug)]
pub struct NoRandomness;

pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}
