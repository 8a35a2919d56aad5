//! What records were after each of these entries: entries of updates hold only what changed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use uuid::Uuid;

use super::feed::Placed;
use crate::audit::history::entries::{self, Action, Entry};
use crate::audit::history::images;
use crate::audit::history::past::Past;
use crate::audit::history::subject::{Subject, Subjects};
use crate::error::Result;
use crate::identity::principal::to_pg;
use crate::records::custom::object::Object;

/// The records after these entries, by entry; of a deletion as it was before. None of what was erased, or rests on that.
pub type Pictures = HashMap<Uuid, Object>;

/// With the snapshot that is active, so that the rows and the entries fit together.
pub fn pictures(organization: Uuid, entries: &[&Placed], subjects: &mut Subjects) -> Result<Pictures> {
    let mut of_entity: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for placed in entries {
        of_entity.entry(&placed.entry.entity).or_default().push(&placed.entry);
    }
    let mut pictures = Pictures::new();
    for (entity, wanted) in of_entity {
        if let Some(subject) = subjects.noted(entity)? {
            take(organization, &subject, &wanted, &mut pictures)?;
        }
    }
    Ok(pictures)
}

fn take(organization: Uuid, subject: &Rc<Subject>, wanted: &[&Entry], pictures: &mut Pictures) -> Result<()> {
    // A new record and one that was deleted stand in their entries whole.
    let (whole, updates): (Vec<&Entry>, Vec<&Entry>) =
        wanted.iter().copied().partition(|entry| entry.action != Action::Update);
    for entry in whole.into_iter().filter(|entry| !entry.is_erased) {
        let image = if entry.action == Action::Insert { &entry.after } else { &entry.before };
        pictures.insert(entry.id, image.clone());
    }
    let Some(first) = updates.iter().map(|entry| entry.id).min() else { return Ok(()) };
    let records: HashSet<_> = updates.iter().map(|entry| entry.record_id).collect();
    let ids: Vec<_> = records.iter().copied().collect();
    let mut now = images::current(subject, organization, &ids)?;
    let wanted: HashSet<_> = updates.iter().map(|entry| entry.id).collect();
    let mut way: Option<(Uuid, Option<Past>)> = None;
    // From what the record is now, entry by entry; where one was erased, what was before it is not known.
    let mut go_back = |entry: Entry| {
        if way.as_ref().is_none_or(|(record, _)| *record != entry.record_id) {
            way = Some((entry.record_id, Some(Past::from(now.remove(&entry.record_id)))));
        }
        let Some((_, known)) = &mut way else { return };
        let Some(past) = known.as_mut().filter(|_| !entry.is_erased) else {
            *known = None;
            return;
        };
        if let Some(image) = past.image.as_ref().filter(|_| wanted.contains(&entry.id)) {
            pictures.insert(entry.id, image.clone());
        }
        past.take_back(&entry);
    };
    entries::visit(
        organization,
        "entity = $2 and record_id = any ($3) and id >= $4 order by record_id, id desc",
        vec![
            subject.entity.as_str().into(),
            ids.into_iter().map(to_pg).collect::<Vec<_>>().into(),
            to_pg(first).into(),
        ],
        |entry| {
            go_back(entry);
            Ok(())
        },
    )
}
