//! Takes entries back, many of a kind at once; where that fails, down to those that do.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use uuid::Uuid;

use super::change::{Change, only_changed};
use super::entries::{self, Action, Entry};
use super::outcome::{Outcome, What, settle};
use super::past::version;
use super::returned::{Returned, Withheld};
use super::subject::Subject;
use super::write::{self, Gone, Wanted, without_the_gone};
use super::{Image, images};
use crate::access::permissions;
use crate::audit::trash;
use crate::db;
use crate::error::Result;

pub struct Reverse {
    organization: Uuid,
    /// The transactions whose entries are taken back, and this one.
    own: Vec<Uuid>,
    outcomes: Vec<Outcome>,
    returned: Returned,
    withheld: Withheld,
    /// What waits for other records to come back: a record that goes is noted before what goes along with it.
    postponed: Vec<(Rc<Subject>, Entry)>,
    /// There is nothing left to wait for.
    is_last: bool,
}

const OUT_OF_REACH: &str = "it is out of your reach, or somebody is changing it";
const CHANGED: &str = "it changed since";

impl Reverse {
    pub fn new(organization: Uuid, own: Vec<Uuid>, withheld: Withheld) -> Self {
        Self {
            organization,
            own,
            outcomes: vec![],
            returned: Returned::default(),
            withheld,
            postponed: vec![],
            is_last: false,
        }
    }

    /// Entries of one table and action, each of another record; then what waited for those that came back by it, before what
    /// was done earlier is taken back.
    pub fn run(&mut self, subject: &Rc<Subject>, run: &[Entry]) -> Result<()> {
        let Some(first) = run.first() else { return Ok(()) };
        self.run_action(subject, first.action, run)?;
        loop {
            let fresh = self.returned.take_fresh();
            if fresh.is_empty() {
                return Ok(());
            }
            let postponed = std::mem::take(&mut self.postponed);
            let (ready, waiting): (Vec<_>, Vec<_>) =
                postponed.into_iter().partition(|(subject, entry)| subject.points_to(&entry.before, &fresh));
            self.postponed = waiting;
            self.run_again(&ready)?;
        }
    }

    fn run_again(&mut self, postponed: &[(Rc<Subject>, Entry)]) -> Result<()> {
        let same = |one: &(Rc<Subject>, Entry), other: &(Rc<Subject>, Entry)| {
            one.1.entity == other.1.entity && one.1.action == other.1.action
        };
        for run in postponed.chunk_by(same) {
            let Some((subject, first)) = run.first() else { continue };
            let entries: Vec<_> = run.iter().map(|(_, entry)| entry.clone()).collect();
            // Of one record, one after the other.
            let ids: HashSet<_> = entries.iter().map(|entry| entry.record_id).collect();
            let step = if ids.len() == entries.len() { entries.len() } else { 1 };
            entries.chunks(step).try_for_each(|entries| self.run_action(subject, first.action, entries))?;
        }
        Ok(())
    }

    fn postpone(&mut self, subject: &Rc<Subject>, entry: &Entry) {
        self.postponed.push((Rc::clone(subject), entry.clone()));
    }

    /// As long as there is progress.
    fn run_postponed(&mut self) -> Result<()> {
        while !self.postponed.is_empty() {
            let postponed = std::mem::take(&mut self.postponed);
            self.run_again(&postponed)?;
            self.is_last = self.postponed.len() == postponed.len();
        }
        Ok(())
    }

    fn run_action(&mut self, subject: &Rc<Subject>, action: Action, run: &[Entry]) -> Result<()> {
        // What the database keeps by itself follows from the rest.
        let follows = |entry: &&Entry| match action {
            Action::Insert => !subject.is_writable,
            Action::Update => !entry.changed.iter().any(|column| subject.is_own(column)),
            Action::Delete => !subject.is_writable && !self.returned.has_record_of(subject, entry),
        };
        let (following, run): (Vec<_>, Vec<_>) = run.iter().partition(follows);
        if action == Action::Delete && !self.is_last {
            following.into_iter().for_each(|entry| self.postpone(subject, entry));
        }
        let run: Vec<_> = run.into_iter().cloned().collect();
        let run = run.as_slice();
        let needed = match action {
            Action::Insert => "delete",
            Action::Update => "update",
            Action::Delete => "create",
        };
        let needed = subject.permission(needed);
        if !permissions::had_in(Some(self.organization), &needed)? {
            let reason = format!("you lack the permission {needed}");
            run.iter().for_each(|entry| self.failed(subject, entry, &reason));
            return Ok(());
        }
        match action {
            Action::Insert => self.delete(subject, run),
            Action::Update => self.change_back(subject, run),
            Action::Delete => self.bring_back(subject, run),
        }
    }

    fn note(&mut self, subject: &Rc<Subject>, entry: &Entry, what: What, reason: Option<&str>) {
        self.note_columns(subject, entry, what, reason, vec![]);
    }

    fn failed(&mut self, subject: &Rc<Subject>, entry: &Entry, reason: &str) {
        self.note(subject, entry, What::Failed, Some(reason));
    }

    fn note_columns(
        &mut self,
        subject: &Rc<Subject>,
        entry: &Entry,
        what: What,
        reason: Option<&str>,
        columns: Vec<String>,
    ) {
        let can_be_compared = !entry.is_erased && !entry.changed.iter().any(|column| subject.is_secret(column));
        let is_open = what != What::Reversed && entry.action == Action::Update && can_be_compared;
        let outcome = Outcome {
            subject: Rc::clone(subject),
            id: entry.record_id,
            entry: entry.id,
            action: entry.action,
            what,
            columns,
            reason: reason.map(str::to_owned),
            before: is_open.then(|| only_changed(subject, entry)),
        };
        if entry.action == Action::Delete && matches!(what, What::Failed | What::Kept) {
            self.returned.lose(&outcome, entry);
        }
        self.outcomes.push(outcome);
    }

    /// What was added is deleted, unless somebody changed it or lets something point to it since.
    fn delete(&mut self, subject: &Rc<Subject>, run: &[Entry]) -> Result<()> {
        let ids: Vec<_> = run.iter().map(|entry| entry.record_id).collect();
        let now = images::current(subject, self.organization, &ids)?;
        let run = &self.in_sight(subject, run, &now)?;
        let changed = entries::changed_since(self.organization, &subject.entity, run, &self.own)?;
        let mut left: Vec<&Entry> = vec![];
        for entry in run {
            match () {
                () if !now.contains_key(&entry.record_id) => {
                    self.note(subject, entry, What::Reversed, Some("it is deleted already"));
                }
                () if changed.contains(&entry.record_id) => self.note(subject, entry, What::Kept, Some(CHANGED)),
                () => left.push(entry),
            }
        }
        for referrer in subject.referrers.iter().filter(|referrer| referrer.is_writable) {
            let ids: Vec<_> = left.iter().map(|entry| entry.record_id).collect();
            let own_key = (referrer.entity == subject.entity).then(|| subject.key());
            let referred: HashSet<_> = referrer.referred(self.organization, &ids, own_key)?.into_iter().collect();
            let reason = format!("{} point to it", referrer.entity);
            let (kept, rest): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|entry| referred.contains(&entry.record_id));
            kept.into_iter().for_each(|entry| self.note(subject, entry, What::Kept, Some(&reason)));
            left = rest;
        }
        let row = |entry: &&Entry| Wanted {
            id: entry.record_id,
            image: Image::default(),
            version: now.get(&entry.record_id).and_then(version),
        };
        let rows: Vec<_> = left.iter().map(row).collect();
        let written = write::tried(subject, self.organization, &rows, write::delete)?;
        written.iter().filter(|(_, failed)| failed.is_none()).for_each(|(id, _)| self.returned.remove(subject, *id));
        self.note_written(subject, &left, &written);
        Ok(())
    }

    /// Without those whose records the caller may not read (any more): of them is not even told whether they changed.
    fn in_sight(&mut self, subject: &Rc<Subject>, run: &[Entry], now: &HashMap<Uuid, Image>) -> Result<Vec<Entry>> {
        let there: Vec<_> = now.keys().copied().collect();
        let visible: HashSet<_> = images::visible(subject, self.organization, &there)?.into_iter().collect();
        let is_hidden = |entry: &&Entry| now.contains_key(&entry.record_id) && !visible.contains(&entry.record_id);
        let (hidden, seen): (Vec<_>, Vec<_>) = run.iter().partition(is_hidden);
        for entry in hidden {
            self.failed(subject, entry, OUT_OF_REACH);
            self.outcomes.last_mut().into_iter().for_each(|outcome| outcome.before = None);
        }
        Ok(seen.into_iter().cloned().collect())
    }

    fn note_written(&mut self, subject: &Rc<Subject>, entries: &[&Entry], written: &HashMap<Uuid, Option<String>>) {
        for entry in entries {
            match written.get(&entry.record_id) {
                Some(None) => self.note(subject, entry, What::Reversed, None),
                Some(Some(reason)) => self.failed(subject, entry, reason),
                None => self.failed(subject, entry, OUT_OF_REACH),
            }
        }
    }

    /// Columns that still hold what the transaction left get back what they held before.
    fn change_back(&mut self, subject: &Rc<Subject>, run: &[Entry]) -> Result<()> {
        let ids: Vec<_> = run.iter().map(|entry| entry.record_id).collect();
        let now = images::current(subject, self.organization, &ids)?;
        let run = &self.in_sight(subject, run, &now)?;
        let (mut rows, mut changes) = (vec![], vec![]);
        for entry in run {
            let Some(now) = now.get(&entry.record_id) else {
                self.note(subject, entry, What::Kept, Some("it is deleted since"));
                continue;
            };
            if entry.is_erased {
                self.failed(subject, entry, "what it was is erased from history");
                continue;
            }
            let change = Change::of(subject, entry, now);
            if change.set.0.is_empty() {
                self.note_change(subject, entry, change);
            } else {
                rows.push(Wanted { id: entry.record_id, image: change.set.clone(), version: version(now) });
                changes.push((entry, change));
            }
        }
        let (rows, changes) = self.that_can_change(subject, rows, changes)?;
        let written = write::tried(subject, self.organization, &rows, write::update)?;
        for (entry, change) in changes {
            match written.get(&entry.record_id) {
                Some(None) => self.note_change(subject, entry, change),
                Some(Some(reason)) => self.failed(subject, entry, reason),
                None => self.failed(subject, entry, OUT_OF_REACH),
            }
        }
        Ok(())
    }

    /// Without those that have to wait for what they are to point to; or have waited in vain.
    fn that_can_change<'a>(
        &mut self,
        subject: &Rc<Subject>,
        mut rows: Vec<Wanted>,
        changes: Vec<(&'a Entry, Change)>,
    ) -> Result<(Vec<Wanted>, Vec<(&'a Entry, Change)>)> {
        let gone = without_the_gone(subject, self.organization, &mut rows)?;
        let (mut ready, mut left) = (vec![], vec![]);
        for ((row, (entry, mut change)), (emptied, needed)) in rows.into_iter().zip(changes).zip(gone) {
            match needed {
                None if emptied.is_empty() => {}
                _ if !self.is_last => {
                    self.postpone(subject, entry);
                    continue;
                }
                Some(gone) => {
                    self.failed(subject, entry, &gone.reason());
                    continue;
                }
                None => {
                    change.set = row.image.clone();
                    change.reason = emptied.first().map(Gone::reason);
                    change.stay.extend(emptied.into_iter().map(|gone| gone.column));
                }
            }
            if change.set.0.is_empty() {
                self.note_change(subject, entry, change);
            } else {
                ready.push(row);
                left.push((entry, change));
            }
        }
        Ok((ready, left))
    }

    fn note_change(&mut self, subject: &Rc<Subject>, entry: &Entry, change: Change) {
        let what = match (change.stay.is_empty(), change.set.0.is_empty() && change.back == 0) {
            (true, _) => What::Reversed,
            (false, true) => What::Kept,
            (false, false) => What::Partly,
        };
        let reason = (!change.stay.is_empty()).then(|| change.reason.as_deref().unwrap_or(CHANGED));
        self.note_columns(subject, entry, what, reason, change.stay);
    }

    /// What was deleted comes back.
    fn bring_back(&mut self, subject: &Rc<Subject>, run: &[Entry]) -> Result<()> {
        let ids: Vec<_> = run.iter().map(|entry| entry.record_id).collect();
        let there = images::current(subject, self.organization, &ids)?;
        let run = &self.in_sight(subject, run, &there)?;
        let changed = entries::changed_since(self.organization, &subject.entity, run, &self.own)?;
        let mut rows: Vec<_> = vec![];
        let mut left: BTreeMap<Uuid, &Entry> = BTreeMap::new();
        for entry in run {
            match self.withheld.get(&(subject.entity.clone(), entry.record_id)).cloned() {
                _ if there.contains_key(&entry.record_id) => {
                    self.note(subject, entry, What::Kept, Some("it is there again"));
                }
                // It came back before, and was deleted anew: as it was then is not how it was last.
                _ if changed.contains(&entry.record_id) => self.note(subject, entry, What::Kept, Some(CHANGED)),
                _ if entry.is_erased => self.failed(subject, entry, "what it was is erased from history"),
                Some(reason) => self.failed(subject, entry, &reason),
                None => {
                    rows.push(write::wanted(entry.record_id, entry.before.clone()));
                    left.insert(entry.record_id, entry);
                }
            }
        }
        let (complete, emptied) = self.that_can_return(subject, rows, &left)?;
        // What clients do not write is only ever deleted with its record.
        let goes_along = |entry: &Entry| match subject.is_writable {
            true => self.returned.has_with(subject, entry),
            false => self.returned.has_record_of(subject, entry),
        };
        let (with_record, alone): (Vec<_>, Vec<_>) =
            complete.into_iter().partition(|row| left.get(&row.id).is_some_and(|entry| goes_along(entry)));
        let mut written = write::tried(subject, self.organization, &alone, write::insert_alone)?;
        written.extend(write::tried(subject, self.organization, &with_record, write::insert_with_record)?);
        self.note_returned(subject, &left, &written, emptied)
    }

    /// Without those that have to wait for what they point to, or have waited in vain; and which columns become empty.
    fn that_can_return(
        &mut self,
        subject: &Rc<Subject>,
        mut rows: Vec<Wanted>,
        left: &BTreeMap<Uuid, &Entry>,
    ) -> Result<(Vec<Wanted>, HashMap<Uuid, Vec<String>>)> {
        let gone = without_the_gone(subject, self.organization, &mut rows)?;
        let (mut complete, mut emptied) = (vec![], HashMap::new());
        for (row, (without, needed)) in rows.into_iter().zip(gone) {
            let Some(&entry) = left.get(&row.id) else { continue };
            if !self.is_last && (needed.is_some() || !without.is_empty()) {
                self.postpone(subject, entry);
                continue;
            }
            if let Some(gone) = needed {
                let reason = format!("{} {} is deleted: restore it first", gone.entity, gone.id);
                self.failed(subject, entry, &reason);
                continue;
            }
            emptied.insert(row.id, without.into_iter().map(|gone| gone.column).collect());
            complete.push(row);
        }
        Ok((complete, emptied))
    }

    fn note_returned(
        &mut self,
        subject: &Rc<Subject>,
        entries: &BTreeMap<Uuid, &Entry>,
        written: &HashMap<Uuid, Option<String>>,
        mut emptied: HashMap<Uuid, Vec<String>>,
    ) -> Result<()> {
        let mut returned = vec![];
        for (id, outcome) in written {
            let Some(entry) = entries.get(id) else { continue };
            if let Some(reason) = outcome {
                self.failed(subject, entry, reason);
                continue;
            }
            returned.push(*id);
            self.returned.add(subject, entry);
            let columns = emptied.remove(id).unwrap_or_default();
            if columns.is_empty() {
                self.note(subject, entry, What::Reversed, None);
            } else {
                let reason = "what these columns pointed to is gone";
                self.note_columns(subject, entry, What::Partly, Some(reason), columns);
            }
        }
        db::as_definer(|| trash::take_out(self.organization, &subject.entity, returned.iter().copied()))
    }

    /// What became of the entries; and records that must not come back as they did now, and why.
    pub fn finish(mut self) -> Result<(Vec<Outcome>, Withheld)> {
        self.run_postponed()?;
        settle(&mut self.outcomes, self.organization)?;
        Ok((self.outcomes, self.returned.incomplete()))
    }
}
