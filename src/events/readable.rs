//! Which entries the caller may know of: those of records that they may read, or could when these were deleted.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::feed::Placed;
use crate::access::permissions::Permissions;
use crate::audit::history::entries::{self, Action, Entry};
use crate::audit::history::images;
use crate::audit::history::sight;
use crate::audit::history::subject::{Subject, Subjects};
use crate::error::Result;

pub struct Readable<'a> {
    pub organization: Uuid,
    pub permissions: &'a Permissions,
}

impl Readable<'_> {
    pub fn keep(&self, entries: &mut Vec<Placed>, subjects: &mut Subjects) -> Result<()> {
        if sight::reads_all_history(self.permissions) {
            return Ok(());
        }
        let mut of_entity: BTreeMap<String, HashSet<Uuid>> = BTreeMap::new();
        for Placed { entry, .. } in entries.iter() {
            of_entity.entry(entry.entity.clone()).or_default().insert(entry.record_id);
        }
        let mut known = HashMap::new();
        for (entity, records) in of_entity {
            if let Some(subject) = subjects.find(&entity)? {
                let records: Vec<_> = records.into_iter().collect();
                known.insert(entity, self.known(&subject, &records)?);
            }
        }
        entries.retain(|Placed { entry, .. }| {
            let floor = known.get(&entry.entity).and_then(|known| known.get(&entry.record_id));
            floor.is_some_and(|floor| floor.is_none_or(|floor| entry.id > floor))
        });
        Ok(())
    }

    /// The records that the caller may know of, each from the entry on after which it is theirs to know.
    fn known(&self, subject: &Subject, records: &[Uuid]) -> Result<HashMap<Uuid, Option<Uuid>>> {
        // Without the permission nothing is looked up.
        if self.permissions.scope(&format!("{}.read", subject.resource())).is_none() {
            return Ok(HashMap::new());
        }
        let mut known: HashSet<_> = images::visible(subject, self.organization, records)?.into_iter().collect();
        let ends = entries::beginnings_and_ends(self.organization, &subject.entity, records)?;
        for ends in ends.chunk_by(|one, other| one.record_id == other.record_id) {
            if let Some(last) = ends.first()
                && self.could_read(subject, last)?
            {
                known.insert(last.record_id);
            }
        }
        let ids: Vec<_> = known.iter().copied().collect();
        let mut floors = sight::floors(subject, self.organization, &ids)?;
        Ok(known.into_iter().map(|record| (record, floors.remove(&record))).collect())
    }

    fn could_read(&self, subject: &Subject, last: &Entry) -> Result<bool> {
        Ok(last.action == Action::Delete && sight::could_read(subject, self.organization, last)?)
    }
}
