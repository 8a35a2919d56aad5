//! The records that an undo brought back, and what they are made of.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use uuid::Uuid;

use super::entries::{Entry, id_in};
use super::outcome::Outcome;
use super::subject::Subject;
use crate::crm::billing;

/// Records that are not to come back, by their entities and ids, and why.
pub type Withheld = HashMap<(String, Uuid), String>;

#[derive(Default)]
pub struct Returned {
    /// By their entities and ids: of what kind they are, and what deleted them.
    deletions: HashMap<(String, Uuid), (Rc<Subject>, Entry)>,
    /// Those that nobody has waited for yet.
    fresh: HashSet<Uuid>,
    /// Parts that did not come back, or are elsewhere, and why.
    lost: Vec<(Rc<Subject>, Entry, String)>,
}

impl Returned {
    pub fn add(&mut self, subject: &Rc<Subject>, deletion: &Entry) {
        let record = (subject.entity.clone(), deletion.record_id);
        self.deletions.insert(record, (Rc::clone(subject), deletion.clone()));
        self.fresh.insert(deletion.record_id);
    }

    /// It is deleted again: what came back was added by what is taken back.
    pub fn remove(&mut self, subject: &Subject, id: Uuid) {
        self.deletions.remove(&(subject.entity.clone(), id));
    }

    pub fn take_fresh(&mut self) -> HashSet<Uuid> {
        std::mem::take(&mut self.fresh)
    }

    /// Whether the record that a part belongs to came back.
    pub fn has_record_of(&self, subject: &Subject, part: &Entry) -> bool {
        self.record_of(subject, part, |_| true).is_some()
    }

    /// And the part was deleted because the record was, not before it.
    pub fn has_with(&self, subject: &Subject, part: &Entry) -> bool {
        self.record_of(subject, part, |deletion| part.went_along_with(deletion)).is_some()
    }

    fn record_of(
        &self,
        subject: &Subject,
        part: &Entry,
        is_it: impl Fn(&Entry) -> bool,
    ) -> Option<&(Rc<Subject>, Entry)> {
        let records = subject.references.iter().filter(|_| !subject.is_record());
        let mut found = records.filter_map(|reference| {
            let id = id_in(&part.before, &reference.column)?;
            self.deletions.get(&(reference.entity.clone(), id))
        });
        found.find(|(_, deletion)| is_it(deletion))
    }

    pub fn lose(&mut self, outcome: &Outcome, part: &Entry) {
        if let Some(reason) = outcome.reason.clone().filter(|_| !outcome.subject.is_record()) {
            self.lost.push((Rc::clone(&outcome.subject), part.clone(), reason));
        }
    }

    /// Records that should not have come back without what was lost, and why.
    pub fn incomplete(&self) -> Withheld {
        let mut found = HashMap::new();
        for (subject, part, reason) in &self.lost {
            let record = self.record_of(subject, part, |deletion| part.went_along_with(deletion));
            let Some((record, deletion)) = record else { continue };
            if let Some(rule) = billing::needs_all(&subject.entity, &record.entity, &deletion.before) {
                found.insert((record.entity.clone(), deletion.record_id), format!("{rule}: {reason}"));
            }
        }
        found
    }
}
