//! Where a reader of the feed is. Pure.

use uuid::Uuid;

use crate::error::{CrmError, Result};

/// So many bytes of the transaction's hash tell whether it is still the same history: not another database's, nor one that was
/// set back.
const MARK: usize = 4;

#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    /// Of the last transaction that was read; 0 before the first.
    pub position: i64,
    /// The last entry of it that was read, if there are more.
    pub entry: Option<Uuid>,
    pub mark: [u8; MARK],
}

impl Cursor {
    pub const BEGINNING: Self = Self { position: 0, entry: None, mark: [0; MARK] };

    pub fn at(position: i64, entry: Option<Uuid>, hash: &[u8]) -> Self {
        let mut mark = [0; MARK];
        mark.iter_mut().zip(hash).for_each(|(mark, byte)| *mark = *byte);
        Self { position, entry, mark }
    }

    pub fn parse(text: &str) -> Result<Self> {
        let parsed = || -> Option<Self> {
            let mut parts = text.split('.');
            let position = parts.next()?.parse().ok().filter(|&position| position >= 0)?;
            let mark = u32::from_str_radix(parts.next().filter(|mark| mark.len() == 2 * MARK)?, 16).ok()?.to_be_bytes();
            let entry = parts.next().map(Uuid::try_parse).transpose().ok()?;
            parts.next().is_none().then_some(Self { position, entry, mark })
        };
        parsed().ok_or_else(|| CrmError::invalid("cursor", "is none that changes_since has given"))
    }

    pub fn to_text(&self) -> String {
        let entry = self.entry.map(|entry| format!(".{}", entry.simple())).unwrap_or_default();
        format!("{}.{:08x}{entry}", self.position, u32::from_be_bytes(self.mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_told_and_understood() {
        for cursor in [
            Cursor::BEGINNING,
            Cursor::at(12, None, &[0, 0xab, 1, 2, 3]),
            Cursor::at(i64::MAX, Some(Uuid::from_u128(5)), &[0xff; 32]),
        ] {
            assert_eq!(Cursor::parse(&cursor.to_text()).unwrap(), cursor);
        }
        assert_eq!(Cursor::at(12, None, &[0, 0xab, 1, 2]).to_text(), "12.00ab0102");
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for bad in
            ["", "12", "12.00ab01", "-1.00ab0102", "12.00ab0102.x", "x.00ab0102", "12.00ab0102.", "1.+0ab0102.1.2"]
        {
            assert!(Cursor::parse(bad).is_err(), "{bad}");
        }
    }
}
