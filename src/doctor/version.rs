//! Whether the library, the functions in the catalog and the tables are of one version, and whether the server is one of those that
//! it relies on.

use std::cmp::Ordering;

use crate::upgrade::versions::{Standing, Versions, parts};

/// The oldest minor version of each major one in which row level security holds for the user it is asked for
/// (CVE-2023-2455, CVE-2024-10976).
pub fn oldest_server(major: i32) -> i32 {
    match major {
        15 => 150_009,
        16 => 160_005,
        17 => 170_001,
        _ => major * 10_000,
    }
}

/// How the tables stand to the library.
pub fn of_tables(versions: &Versions) -> &'static str {
    match versions.standing() {
        Standing::Equal => "ok",
        Standing::Older => "behind",
        Standing::Newer => "ahead",
        Standing::Missing => "missing",
    }
}

/// How the functions in the catalog do.
pub fn of_catalog(versions: &Versions) -> &'static str {
    match versions.extension.as_deref().map(|found| parts(found).cmp(&parts(versions.library))) {
        None => "missing",
        Some(Ordering::Less) => "behind",
        Some(Ordering::Equal) => "ok",
        Some(Ordering::Greater) => "ahead",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::VERSION;

    fn versions(extension: Option<&str>, tables: Option<&str>) -> Versions {
        Versions { library: VERSION, extension: extension.map(Into::into), tables: tables.map(Into::into) }
    }

    #[test]
    fn a_version_is_compared_number_by_number() {
        assert_eq!(of_catalog(&versions(Some(VERSION), None)), "ok");
        assert_eq!(of_catalog(&versions(None, None)), "missing");
        for older in ["0.0.9", "0.0.10", "0.1.0"] {
            assert_eq!(of_catalog(&versions(Some(older), None)), "behind", "{older}");
            assert_eq!(of_tables(&versions(None, Some(older))), "behind", "{older}");
        }
        for newer in ["9.0.0", "999.1.10", "999.10.0-rc1", "999"] {
            assert_eq!(of_catalog(&versions(Some(newer), None)), "ahead", "{newer}");
            assert_eq!(of_tables(&versions(None, Some(newer))), "ahead", "{newer}");
        }
        assert_eq!(of_tables(&versions(None, Some(VERSION))), "ok");
        assert_eq!(of_tables(&versions(None, None)), "missing");
    }

    #[test]
    fn a_server_of_an_unknown_major_version_is_new_enough() {
        assert_eq!(oldest_server(19), 190_000);
        assert_eq!(oldest_server(15), 150_009);
    }
}
