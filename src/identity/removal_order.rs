//! In which order tables are emptied. Pure.

/// The tables so that each comes before those it refers to; `references` are pairs (from, to). Where tables refer to each
/// other in a circle, one of them has to be first: the foreign keys' own actions do the rest.
pub fn children_first(tables: &[u32], references: &[(u32, u32)]) -> Vec<u32> {
    let mut left: Vec<u32> = tables.to_vec();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let is_free =
            |table: u32| !references.iter().any(|&(from, to)| to == table && from != to && left.contains(&from));
        let next = left.iter().position(|&table| is_free(table)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_refers_comes_before_what_is_referred_to() {
        let ordered = children_first(&[1, 2, 3, 4], &[(2, 1), (3, 2), (4, 1), (4, 4)]);
        let at = |table| ordered.iter().position(|&other| other == table).unwrap();
        assert_eq!(ordered.len(), 4);
        assert!(at(2) < at(1) && at(3) < at(2) && at(4) < at(1), "{ordered:?}");
    }

    #[test]
    fn a_circle_is_broken_somewhere() {
        let mut ordered = children_first(&[1, 2, 3], &[(1, 2), (2, 1), (3, 1)]);
        assert_eq!(ordered[0], 3);
        ordered.sort_unstable();
        assert_eq!(ordered, [1, 2, 3]);
    }

    #[test]
    fn what_refers_to_other_tables_is_in_nobodys_way() {
        assert_eq!(children_first(&[1], &[(9, 1), (1, 9)]), [1]);
        assert_eq!(children_first(&[], &[]), [0_u32; 0]);
    }
}
