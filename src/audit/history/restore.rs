//! `crm.restore_record`.

use std::collections::BTreeMap;
use std::rc::Rc;

use pgrx::datum::DatumWithOid;
use serde_json::{Value, json};
use uuid::Uuid;

use super::entries::{self, Entry, id_in};
use super::past::version;
use super::sight::{self, Sight, no_such_record};
use super::subject::{Referrer, Subject, Subjects};
use super::write::{self, Wanted, each, without_the_gone};
use super::{Image, at_version, images};
use crate::audit::trash;
use crate::crm::billing;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::principal::to_pg;

pub fn restore(entity: &str, id: Uuid, version: Option<i32>) -> Result<Value> {
    let mut subjects = Subjects::default();
    let subject = subjects.named(entity)?;
    let (_, holder, permissions) = sight::active()?;
    let organization = holder.organization();
    let sight = sight::look(&subject, organization, &permissions, id)?.ok_or_else(no_such_record)?;
    let mut restore = Restore { organization, subjects, restored: vec![], relinked: 0, skipped: vec![] };
    match (images::current(&subject, organization, &[id])?.remove(&id), version) {
        (Some(_), None) => {
            return Err(CrmError::Conflict {
                message: "the record is there already".into(),
                hint: "With a version it is set to what it was then.".into(),
            });
        }
        (Some(now), Some(version)) => restore.go_back(&sight, &subject, id, now, version)?,
        (None, version) => restore.bring_back(&sight, &subject, id, version)?,
    }
    Ok(json!({ "restored": restore.restored, "relinked": restore.relinked, "skipped": restore.skipped }))
}

struct Restore {
    organization: Uuid,
    subjects: Subjects,
    restored: Vec<Value>,
    relinked: usize,
    skipped: Vec<Value>,
}

/// What became of the parts of a record.
struct Parts {
    returned: Vec<Uuid>,
    /// Why others are not there, or not as they were.
    reasons: BTreeMap<Uuid, String>,
}

fn no_such_version() -> CrmError {
    CrmError::invalid("version", "history does not have this version of the record")
}

impl Restore {
    fn skip(&mut self, entity: &str, id: Uuid, reason: &str) {
        self.skipped.push(json!({ "entity": entity, "id": id, "reason": reason }));
    }

    /// Sets a record to what it was.
    fn go_back(&mut self, sight: &Sight, subject: &Subject, id: Uuid, now: Image, to: i32) -> Result<()> {
        let current = version(&now);
        if current < Some(to) {
            return Err(no_such_version());
        }
        let then = at_version(sight, subject, id, Some(now.clone()), to)?.ok_or_else(no_such_version)?;
        let mut rows = [Wanted { id, image: difference(subject, &now, &then), version: current }];
        self.let_go(subject, &mut rows)?;
        let [mut row] = rows;
        // What points to something that is gone now becomes empty, too.
        for column in subject.columns.iter().filter(|column| !column.is_required && subject.is_own(&column.name)) {
            if now.get(&column.name) != then.get(&column.name) {
                row.image.0.entry(column.name.clone()).or_insert_with(|| "null".into());
            }
        }
        if row.image.0.is_empty() {
            return Ok(());
        }
        if write::update(subject, self.organization, &[row])?.is_empty() {
            return Err(CrmError::forbidden("the record is out of your reach, or somebody is changing it"));
        }
        let restored = json!({ "entity": subject.entity, "id": id });
        if !self.restored.contains(&restored) {
            self.restored.push(restored);
        }
        Ok(())
    }

    /// Takes from rows what points to what is gone, and says so; refuses where it cannot be without.
    fn let_go(&mut self, subject: &Subject, rows: &mut [Wanted]) -> Result<()> {
        let gone = without_the_gone(subject, self.organization, rows)?;
        for (row, (emptied, needed)) in rows.iter().zip(gone) {
            if let Some(gone) = needed {
                return Err(gone.refusal());
            }
            emptied.iter().for_each(|gone| self.skip(&subject.entity, row.id, &gone.reason()));
        }
        Ok(())
    }

    fn bring_back(&mut self, sight: &Sight, subject: &Rc<Subject>, id: Uuid, to: Option<i32>) -> Result<()> {
        trash::keep_from_erasure(self.organization)?;
        let deletion = db::at_latest(|| entries::deletion(self.organization, &subject.entity, id))?;
        let deletion = deletion.ok_or_else(no_such_record)?;
        if deletion.is_erased {
            return Err(CrmError::invalid("id", "what the record was is erased from history"));
        }
        let last = version(&deletion.before);
        if to > last {
            return Err(no_such_version());
        }
        let mut rows = [write::wanted(id, deletion.before.clone())];
        self.let_go(subject, &mut rows)?;
        write::insert(subject, self.organization, &rows, false)?;
        let mut returned: Vec<(Rc<Subject>, Vec<Uuid>)> = vec![];
        let mut next = vec![(Rc::clone(subject), vec![id])];
        while let Some((subject, ids)) = next.pop() {
            self.returned(&subject, &ids)?;
            next.extend(self.bring_along(&subject, &ids, &deletion)?);
            returned.push((subject, ids));
        }
        for (subject, ids) in returned {
            self.relink(&subject, &ids, &deletion)?;
        }
        match to.filter(|_| to != last) {
            // From what it was last, as any record that is there: its sums are of the parts that it has.
            Some(to) => self.go_back_from_now(sight, subject, id, to),
            None => Ok(()),
        }
    }

    fn go_back_from_now(&mut self, sight: &Sight, subject: &Subject, id: Uuid, to: i32) -> Result<()> {
        let now = images::current(subject, self.organization, &[id])?.remove(&id).ok_or_else(no_such_record)?;
        self.go_back(sight, subject, id, now, to)
    }

    fn returned(&mut self, subject: &Subject, ids: &[Uuid]) -> Result<()> {
        self.restored.extend(ids.iter().map(|id| json!({ "entity": subject.entity, "id": id })));
        db::as_definer(|| trash::take_out(self.organization, &subject.entity, ids.iter().copied()))
    }

    /// What the transaction deleted because these records went.
    fn bring_along(
        &mut self,
        subject: &Subject,
        ids: &[Uuid],
        deletion: &Entry,
    ) -> Result<Vec<(Rc<Subject>, Vec<Uuid>)>> {
        let mut returned = vec![];
        for referrer in subject.referrers.iter().filter(|referrer| referrer.goes_along()) {
            let Some(child) = self.subjects.find(&referrer.entity)? else { continue };
            let deleted = self.of_transaction(deletion, referrer, ids, "action = 'delete' and before ->>")?;
            let mut last = BTreeMap::new();
            deleted.into_iter().for_each(|entry| drop(last.insert(entry.record_id, entry)));
            let (alone, along): (Vec<_>, Vec<_>) =
                last.into_values().partition(|entry| child.is_writable && !entry.went_along_with(deletion));
            let Parts { returned: mut found, reasons } = self.insert_parts(&child, &along, true)?;
            let missing = along.iter().find(|entry| !found.contains(&entry.record_id));
            if let Some(part) = missing {
                self.check_whole(subject, deletion, &child, part, reasons.get(&part.record_id))?;
            }
            found.extend(self.insert_parts(&child, &alone, false)?.returned);
            if !found.is_empty() {
                returned.push((child, found));
            }
        }
        Ok(returned)
    }

    /// Refuses a record that must not come back without a part that went along with it; one that is missing for no other reason is
    /// there.
    fn check_whole(
        &self,
        subject: &Subject,
        deletion: &Entry,
        child: &Subject,
        missing: &Entry,
        reason: Option<&String>,
    ) -> Result<()> {
        let rule = billing::needs_all(&child.entity, &subject.entity, &deletion.before);
        let Some(rule) = rule else { return Ok(()) };
        let reason = reason.map_or("it is there again", String::as_str);
        let message = match sight::could_read(child, self.organization, missing)? {
            true => format!("{rule}: {reason}"),
            false => rule,
        };
        Err(CrmError::InUse { message, hint: "See to it that all of them can come back.".into() })
    }

    /// Parts that are not there, and why those of them do not come back of which that is certain.
    fn away<'a>(&self, child: &Subject, parts: &'a [Entry]) -> Result<(Vec<&'a Entry>, BTreeMap<Uuid, String>)> {
        let ids: Vec<_> = parts.iter().map(|part| part.record_id).collect();
        let there = images::current(child, self.organization, &ids)?;
        // Their ids were another record's meanwhile, whose past would be taken for theirs.
        let changed = entries::changed_since(self.organization, &child.entity, parts, &[])?;
        let away: Vec<_> = parts.iter().filter(|part| !there.contains_key(&part.record_id)).collect();
        let mut reasons = BTreeMap::new();
        for part in &away {
            if changed.contains(&part.record_id) {
                reasons.insert(part.record_id, "it changed since".into());
            } else if part.is_erased {
                reasons.insert(part.record_id, "what it was is erased from history".into());
            }
        }
        Ok((away, reasons))
    }

    /// `with_record`: they were deleted because their record was, not before it.
    fn insert_parts(&mut self, child: &Rc<Subject>, parts: &[Entry], with_record: bool) -> Result<Parts> {
        let (away, mut reasons) = self.away(child, parts)?;
        let to_come = away.iter().filter(|entry| !reasons.contains_key(&entry.record_id));
        let mut rows: Vec<_> = to_come.map(|entry| write::wanted(entry.record_id, entry.before.clone())).collect();
        let gone = without_the_gone(child, self.organization, &mut rows)?;
        for (row, (emptied, needed)) in rows.iter().zip(&gone) {
            let told = needed.iter().chain(emptied).next();
            told.map(|gone| reasons.insert(row.id, gone.reason()));
        }
        let complete = rows.into_iter().zip(&gone).filter(|(_, (_, needed))| needed.is_none());
        let rows: Vec<_> = complete.map(|(row, _)| row).collect();
        let mut returned: Vec<Uuid> = vec![];
        let organization = self.organization;
        each(
            &rows,
            &mut |rows| {
                write::insert(child, organization, rows, with_record)?;
                returned.extend(rows.iter().map(|row| row.id));
                Ok(())
            },
            &mut |row, reason| drop(reasons.insert(row.id, reason)),
        )?;
        for entry in away {
            // What the caller could not read is not spoken of.
            if let Some(reason) = reasons.get(&entry.record_id)
                && sight::could_read(child, organization, entry)?
            {
                self.skip(&child.entity, entry.record_id, reason);
            }
        }
        Ok(Parts { returned, reasons })
    }

    /// What the transaction let point nowhere because these records went.
    fn relink(&mut self, subject: &Subject, ids: &[Uuid], deletion: &Entry) -> Result<()> {
        for referrer in subject.referrers.iter().filter(|referrer| referrer.becomes_empty()) {
            let Some(other) = self.subjects.find(&referrer.entity)? else { continue };
            let cut = self.of_transaction(deletion, referrer, ids, "action = 'update' and before ->>")?;
            let cut = cut.iter().filter(|entry| entry.after.get(&referrer.column).is_none());
            let links: BTreeMap<_, _> =
                cut.filter_map(|entry| Some((entry.record_id, id_in(&entry.before, &referrer.column)?))).collect();
            let links: Vec<_> = links.into_iter().collect();
            let (organization, mut failures) = (self.organization, vec![]);
            let mut relinked = 0;
            each(
                &links,
                &mut |links| {
                    relinked += write::relink(&other, organization, &referrer.column, links)?.len();
                    Ok(())
                },
                &mut |(id, _), reason| failures.push((*id, reason)),
            )?;
            self.relinked += relinked;
            let ids: Vec<_> = failures.iter().map(|(id, _)| *id).collect();
            let visible = images::visible(&other, organization, &ids)?;
            for (id, reason) in failures.into_iter().filter(|(id, _)| visible.contains(id)) {
                self.skip(&other.entity, id, &reason);
            }
        }
        Ok(())
    }

    /// Entries of the deletion's transaction about what pointed to these records.
    fn of_transaction(
        &self,
        deletion: &Entry,
        referrer: &Referrer,
        ids: &[Uuid],
        condition: &str,
    ) -> Result<Vec<Entry>> {
        let condition = format!(
            "created_at = $2 and transaction_id = $3 and entity = $4 and {condition} $5 = any ($6) order by id"
        );
        let ids: Vec<_> = ids.iter().map(Uuid::to_string).collect();
        let arguments: Vec<DatumWithOid> = vec![
            deletion.created_at.into(),
            to_pg(deletion.transaction_id).into(),
            referrer.entity.as_str().into(),
            referrer.column.as_str().into(),
            ids.into(),
        ];
        entries::find(self.organization, &condition, arguments)
    }
}

/// What to set so that a record is as it was.
fn difference(subject: &Subject, now: &Image, then: &Image) -> Image {
    let mut image = Image::default();
    for column in subject.columns.iter().filter(|column| subject.is_own(&column.name)) {
        match (now.get(&column.name), then.get(&column.name)) {
            (now, Some(then)) if now != Some(then) => drop(image.0.insert(column.name.clone(), then.to_owned())),
            _ => (),
        }
    }
    image
}
