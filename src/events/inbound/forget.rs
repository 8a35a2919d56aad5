//! What other systems sent goes: with the person of whom it tells, and when it is old.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::event::as_owner;
use crate::audit::erase;
use crate::audit::person::Records;
use crate::db;
use crate::error::Result;
use crate::identity::principal::to_pg;

/// Events that became one of these records go: what they say of a person stands in no history. And of those that became none, in
/// which the record is not named, those that name how the person is reached.
pub fn forget(organization: Uuid, records: &Records, addresses: &BTreeSet<String>) -> Result<()> {
    let (entities, ids) = pairs(records);
    as_owner(|| {
        db::execute(
            r#"delete from crm.integration_events as e
               where e.org_id = $1 and (
                   exists (select from unnest($2, $3) as r (entity, record_id) where r.record_id = e.record_id and r.entity = e.entity)
                   or e.record_id is null and $4 is not null and (e.event_key ~* $4 or exists (
                       select from pg_catalog.jsonb_path_query(
                           e.payload, 'strict $.** ? (@.type() == "string" || @.type() == "number")'
                       ) as said (value)
                       where said.value #>> '{}' ~* $4
                   ))
               )"#,
            &[to_pg(organization).into(), entities.into(), ids.into(), pattern(addresses).into()],
        )
    })?;
    Ok(())
}

/// How the people among these records are and were reached, as far as the records and history say so.
pub fn addresses(organization: Uuid, records: &Records) -> Result<BTreeSet<String>> {
    let (entities, ids) = pairs(records);
    let query = "
        with person as (select entity, record_id from unnest($2, $3) as r (entity, record_id))
        select distinct address
        from (
            select unnest(array[t.email, t.phone, t.phone_normalized]) from crm.leads as t
            join person as p on p.record_id = t.id and p.entity = 'leads' where t.org_id = $1
            union all
            select unnest(array[t.email, t.phone, t.phone_normalized]) from crm.contacts as t
            join person as p on p.record_id = t.id and p.entity = 'contacts' where t.org_id = $1
            union all
            select t.email from crm.contact_emails as t
            join person as p on p.record_id = t.id and p.entity = 'contact_emails' where t.org_id = $1
            union all
            select unnest(array[t.phone, t.phone_normalized]) from crm.contact_phones as t
            join person as p on p.record_id = t.id and p.entity = 'contact_phones' where t.org_id = $1
            union all
            select image.told ->> named
            from person as p
            join crm.audit_log as l on l.org_id = $1 and l.record_id = p.record_id and l.entity = p.entity
            cross join lateral (values (l.before), (l.after)) as image (told)
            cross join unnest('{email,phone,phone_normalized}'::text[]) as named
            where p.entity in ('leads', 'contacts', 'contact_emails', 'contact_phones')
        ) as known (address)
        where address is not null";
    as_owner(|| {
        db::at_latest(|| {
            db::select_once(query, &[to_pg(organization).into(), entities.into(), ids.into()], |mut rows| {
                rows.try_fold(BTreeSet::new(), |mut addresses, row| {
                    addresses.extend(row.get::<String>(1)?);
                    Ok(addresses)
                })
            })
        })
    })
}

fn pairs(records: &Records) -> (Vec<String>, Vec<pgrx::Uuid>) {
    records.iter().flat_map(|(entity, ids)| ids.iter().map(|id| (entity.clone(), to_pg(*id)))).unzip()
}

/// Fewer digits may be anything.
const DIGITS_MIN: usize = 6;

/// A regular expression of PostgreSQL's that finds one of the addresses in a text: e-mail as a whole, numbers however they are written
/// apart. `None` finds nothing.
fn pattern(addresses: &BTreeSet<String>) -> Option<String> {
    let (emails, phones): (Vec<_>, Vec<_>) = addresses.iter().partition(|address| address.contains('@'));
    let emails = emails.into_iter().map(|email| {
        let email: String = email.chars().map(literal).collect();
        format!(r"(?<![a-z0-9._%+-]){email}(?![a-z0-9_-]|\.[a-z0-9])")
    });
    let phones = phones.into_iter().filter_map(|phone| {
        let digits: Vec<_> = phone.chars().filter(char::is_ascii_digit).map(String::from).collect();
        (digits.len() >= DIGITS_MIN).then(|| format!("(?<![0-9])(?:00)?{}(?![0-9])", digits.join("[ ()./-]*")))
    });
    let all: Vec<_> = emails.chain(phones).collect();
    (!all.is_empty()).then(|| all.join("|"))
}

fn literal(letter: char) -> String {
    if letter.is_alphanumeric() { letter.into() } else { format!(r"\{letter}") }
}

/// Removes events older than this id, at most so many. An id begins with the time: what is old enough is found by the key, organization
/// by organization. History tells that they went, and not what they were.
pub fn remove_old(than: Uuid, batch: i32) -> Result<usize> {
    erase::erasing(|| {
        as_owner(|| {
            db::execute(
                "with old as materialized (
                     select o.id as org_id, a.id
                     from crm.organizations as o
                     cross join lateral (
                         select e.id from crm.integration_events as e
                         where e.org_id = o.id and e.id < $2 order by e.id limit $1 for update skip locked
                     ) as a
                     limit $1
                 )
                 delete from crm.integration_events as e using old where e.org_id = old.org_id and e.id = old.id returning 1",
                &[batch.into(), to_pg(than).into()],
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(addresses: &[&str]) -> Option<String> {
        pattern(&addresses.iter().map(|address| (*address).to_owned()).collect())
    }

    #[test]
    fn addresses_become_one_pattern() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["123", "ext. 45"]), None);
        assert_eq!(of(&["a.b@x.example"]).unwrap(), r"(?<![a-z0-9._%+-])a\.b\@x\.example(?![a-z0-9_-]|\.[a-z0-9])");
        let number = of(&["+1 650-253"]).unwrap();
        assert!(
            number.starts_with("(?<![0-9])(?:00)?1[ ()./-]*6[ ()./-]*5") && number.ends_with("3(?![0-9])"),
            "{number}"
        );
        assert_eq!(of(&["a@b", "123456"]).unwrap().split('|').count(), 3);
    }
}
