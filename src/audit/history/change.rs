//! What is to be set so that an update is taken back, and what became of its columns since. Pure.

use super::Image;
use super::entries::Entry;
use super::subject::Subject;

/// What becomes of an update's columns.
pub struct Change {
    /// What to set; `null` where there was nothing.
    pub set: Image,
    /// Those that hold something else by now, or that history does not know.
    pub stay: Vec<String>,
    /// How many are back already.
    pub back: usize,
    /// Why one of those stays, if not because it changed since.
    pub reason: Option<String>,
}

impl Change {
    pub fn of(subject: &Subject, entry: &Entry, now: &Image) -> Self {
        let mut change = Self { set: Image::default(), stay: vec![], back: 0, reason: None };
        let columns = entry.changed.iter().filter(|column| subject.columns.iter().any(|known| known.name == **column));
        for column in columns.filter(|column| !is_generated(subject, column)) {
            let (before, after) = (entry.before.get(column), entry.after.get(column));
            if subject.is_secret(column) {
                change.stay.push(column.clone());
                change.reason = Some("it is secret: history does not know what it was".into());
            } else if holds(now, column, before) {
                change.back += 1;
            } else if subject.is_own(column) && holds(now, column, after) {
                change.set.0.insert(column.clone(), before.unwrap_or("null").to_owned());
            } else {
                change.stay.push(column.clone());
            }
        }
        change.follow(subject, entry);
        change
    }

    /// What follows another column is set with it, or stays with it: alone it would say something else than that one.
    fn follow(&mut self, subject: &Subject, entry: &Entry) {
        for column in &entry.changed {
            let Some(leader) = subject.leader(column) else { continue };
            match (self.set.0.contains_key(&leader), self.set.0.remove(column).is_some()) {
                (true, _) => {
                    self.stay.retain(|stays| stays != column);
                    self.set.0.insert(column.clone(), entry.before.get(column).unwrap_or("null").to_owned());
                }
                (false, true) => self.stay.push(column.clone()),
                (false, false) => {}
            }
        }
    }
}

fn is_generated(subject: &Subject, column: &str) -> bool {
    subject.columns.iter().any(|known| known.name == column && known.is_generated)
}

pub fn holds(image: &Image, column: &str, value: Option<&str>) -> bool {
    image.get(column) == value.filter(|value| *value != "null")
}

/// What the columns of an update held before, `null` where that was nothing.
pub fn only_changed(subject: &Subject, entry: &Entry) -> Image {
    let known = entry.changed.iter().filter(|column| subject.has(column) && !is_generated(subject, column));
    let before = |column: &String| (column.clone(), entry.before.get(column).unwrap_or("null").to_owned());
    let mut image = Image::default();
    image.0.extend(known.map(before));
    image
}
