//! One row: made, read, changed, upserted, deleted.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::catalog::{self, STANDARD};
use super::world::World;
use super::{Spec, assert_has, merged, same};
use crate::actor::{Actor, id_of};
use crate::http::text;

/// What a client would like the stamps to be.
fn forged_stamps() -> Map<String, Value> {
    let (somebody, once) = (Uuid::nil(), "2001-01-01T00:00:00Z");
    let stamps = json!({ "version": 99, "created_by": somebody, "created_at": once, "updated_by": somebody, "updated_at": once });
    stamps.as_object().unwrap().clone()
}

fn owner_if_any(spec: &Spec, owner: &Actor) -> Map<String, Value> {
    let owned = catalog::columns(spec.table).iter().any(|column| column.name == "owner_id");
    owned.then(|| ("owner_id".to_owned(), json!(owner.user))).into_iter().collect()
}

pub fn is_created(spec: &'static Spec) {
    let world = World::of(spec);
    let me = &world.owner;
    let least = world.least(world.next());
    let answer = world.post(me, &merged(least.clone(), forged_stamps())).send().expect(201);
    let row = answer.rows().remove(0);
    assert_eq!(answer.rows().len(), 1);
    assert_has(&row, &least);
    assert_has(&row, &owner_if_any(spec, me));
    let stamps = json!({ "org_id": me.organization.id, "version": 1, "created_by": me.user, "updated_by": me.user });
    assert_has(&row, stamps.as_object().unwrap());
    assert!(text(&row["created_at"]).as_str() > "2020", "{row}");
    assert_eq!(row["created_at"], row["updated_at"]);
    assert_eq!(id_of(&row).get_version_num(), 7);
    assert_eq!(world.stored(&row), Some(row));

    let request = me.request("POST", &world.path("")).prefer("return=headers-only");
    let answer = request.json(&json!(world.least(world.next()))).send().expect(201);
    assert_eq!(answer.text(), "");
    let location = answer.header("Location").unwrap_or_else(|| panic!("no Location: {answer}"));
    assert_eq!(me.get(location).expect(200).rows().len(), 1, "{location}");
}

/// And the spec knows all of them.
pub fn is_stored_with_all_its_columns(spec: &'static Spec) {
    let mut known = [spec.written(), spec.columns_of(spec.kept), spec.columns_of(spec.stored)].concat();
    known.retain(|column| !STANDARD.contains(&column.as_str()));
    known.sort();
    known.dedup();
    let mut columns: Vec<_> = catalog::columns(spec.table).into_iter().map(|column| column.name).collect();
    columns.retain(|column| !STANDARD.contains(&column.as_str()));
    columns.sort();
    assert_eq!(known, columns, "the columns that the spec of {} knows", spec.table);

    let world = World::of(spec);
    let n = world.next();
    let forged = world.object(spec.kept, n);
    let full = world.owner.insert(spec.table, &Value::Object(merged(world.full(n), forged.clone())));
    assert_has(&full, &world.stored_of_full(n));
    assert_eq!(world.stored(&full).as_ref(), Some(&full));
    for variant in spec.variants {
        let variant = world.object(variant, world.next());
        assert_has(&world.insert(variant.clone()), &variant);
    }
    let least = world.insert(Map::new());
    for column in spec.columns_of(spec.full) {
        assert!(!same(&full[&column], &least[&column]), "{column}: the full row has the default {}", least[&column]);
    }
    for (column, forged) in forged {
        assert!(!same(&full[&column], &forged), "{column}: a client's {forged} is stored");
    }
}

pub fn is_read_by_its_id(spec: &'static Spec) {
    let world = World::of(spec);
    let (row, _other) = (world.insert_full(), world.insert(Map::new()));
    let path = world.path_of(&row);
    assert_eq!(world.owner.get(&path).expect(200).json(), json!([row]));
    let single =
        |path: &str| world.owner.request("GET", path).header("Accept", "application/vnd.pgrst.object+json").send();
    assert_eq!(single(&path).expect(200).json(), row);
    let nobodys = world.path(&format!("id=eq.{}", Uuid::new_v4()));
    assert_eq!(world.owner.get(&nobodys).expect(200).json(), json!([]));
    assert_eq!(single(&nobodys).expect(406).code(), "PGRST116");
    let columns = spec.written();
    let columns = columns.iter().filter(|column| row.get(column).is_some());
    for column in columns {
        let part = world.owner.get(&format!("{path}&select={column}")).expect(200).json();
        assert_eq!(part, json!([{ column: row[column] }]));
    }
}

pub fn is_updated(spec: &'static Spec) {
    let world = World::of(spec);
    let colleague = if spec.personal { world.owner.clone() } else { Actor::member(&world.owner.organization, "admin") };
    let (before, other) = (world.insert(Map::new()), world.insert(Map::new()));
    let change = world.object(spec.change, 1);
    for (column, value) in &change {
        assert!(!same(&before[column], value), "{column} of a least row is {value} already");
    }
    let sent = json!(merged(change.clone(), forged_stamps()));
    let answer = colleague.patch(&world.path_of(&before), &sent).expect(200);
    let after = answer.rows().remove(0);
    let stamps = json!({ "version": 2, "updated_by": colleague.user });
    assert_has(&after, &merged(change.clone(), stamps.as_object().unwrap().clone()));
    assert!(text(&after["updated_at"]) > text(&before["updated_at"]), "{after}");
    let changed = ["version", "updated_by", "updated_at"];
    for (column, value) in before.as_object().unwrap() {
        let may_differ = changed.contains(&column.as_str()) || spec.follows.contains(&column.as_str());
        assert!(may_differ || change.contains_key(column) || after[column] == *value, "{column} changes: {answer}");
    }
    assert_eq!(world.stored(&after).as_ref(), Some(&after));
    assert_eq!(world.stored(&other), Some(other));
    let late = format!("{}&version=eq.1", world.path_of(&before));
    assert_eq!(world.owner.patch(&late, &json!(change)).expect(200).json(), json!([]), "somebody was faster");
    assert_eq!(world.stored(&after), Some(after));
}

pub fn is_deleted(spec: &'static Spec) {
    let world = World::of(spec);
    let (row, other) = (world.insert_full(), world.insert(Map::new()));
    let path = world.path_of(&row);
    let now = world.stored(&row).unwrap();
    assert_eq!(world.owner.delete(&path).expect(200).json(), json!([now]));
    assert_eq!(world.owner.get(&path).expect(200).json(), json!([]));
    assert_eq!(world.owner.delete(&path).expect(200).json(), json!([]));
    assert_eq!(world.stored(&row), None);
    assert_eq!(world.stored(&other), Some(other));
}

// ---------------------------------------------------------------------------------------------- natural keys

/// `on_conflict=…` for a key.
fn conflict(columns: &[&str]) -> String {
    format!("on_conflict=org_id,{}", columns.join(","))
}

pub fn is_upserted_on_its_natural_keys(spec: &'static Spec) {
    for (columns, row) in spec.keys {
        let world = World::of(spec);
        let change = |n| {
            let mut change = world.object(spec.change, n);
            change.retain(|column, _| !columns.contains(&column.as_str()));
            change
        };
        let upsert = |resolution: &str, numbers: &[u32]| {
            let row = |&n| merged(merged(world.least(n), world.object(row, n)), change(n));
            let rows: Vec<_> = numbers.iter().map(row).collect();
            let request = world.owner.request("POST", &world.path(&conflict(columns)));
            let request = request.prefer(&format!("resolution={resolution}, return=representation"));
            let answer = request.json(&json!(rows)).send();
            assert!(matches!(answer.status, 200 | 201), "{columns:?}: {answer}");
            answer.rows()
        };
        let one = merged(world.least(1), world.object(row, 1));
        let one = world.post(&world.owner, &one).send().expect(201).rows().remove(0);
        assert_eq!(upsert("ignore-duplicates", &[1]), Vec::<Value>::new(), "{columns:?}");
        assert_eq!(world.stored(&one).as_ref(), Some(&one), "{columns:?}");
        let merged = upsert("merge-duplicates", &[1, 2]);
        assert_eq!(merged.len(), 2, "{columns:?}");
        let (changed, new): (Vec<_>, Vec<_>) = merged.into_iter().partition(|row| row["id"] == one["id"]);
        assert_eq!((changed.len(), new.len()), (1, 1), "{columns:?}");
        assert_has(&changed[0], &change(1));
        assert_has(&new[0], &change(2));
        assert_eq!((&changed[0]["version"], &new[0]["version"]), (&json!(2), &json!(1)), "{columns:?}");
        for kept in ["created_at", "created_by"] {
            assert_eq!(changed[0][kept], one[kept], "{columns:?}");
        }
        assert_eq!(world.stored(&one).as_ref(), Some(&changed[0]), "{columns:?}");
    }
}

/// And the spec knows all that is.
pub fn is_unique_per_organization(spec: &'static Spec) {
    let sorted = |columns: &[&str]| {
        let mut columns: Vec<_> = columns.iter().map(|&column| column.to_owned()).collect();
        columns.sort();
        columns
    };
    let mut known: Vec<_> = spec.keys.iter().map(|(columns, _)| sorted(columns)).collect();
    known.sort();
    let kept = spec.columns_of(spec.kept);
    let mut keys = catalog::unique_keys(spec.table);
    // A number that the database gives is no client's to repeat.
    keys.retain(|columns| {
        known.contains(columns) || !columns.iter().any(|column| column == "id" || kept.contains(column))
    });
    keys.sort();
    assert_eq!(known, keys, "the natural keys that the spec of {} knows", spec.table);

    let (world, elsewhere) = (World::of(spec), World::of(spec));
    for (columns, row) in spec.keys {
        // Three rows that have nothing but the key in common.
        let n = world.next();
        let insert =
            |world: &World| world.post(&world.owner, &merged(world.least(world.next()), world.object(row, n))).send();
        let first = insert(&world).expect(201).rows().remove(0);
        let before = world.fingerprint();
        let again = insert(&world).expect(409);
        assert_eq!(again.code(), "23505", "{columns:?}: {again}");
        // Many names are more than the name of a constraint holds.
        let named = |column: &&str| again.text().contains(column);
        assert!(columns.iter().all(named) || columns.len() > 3, "does not name {columns:?}: {again}");
        assert_eq!(world.fingerprint(), before, "{columns:?}");
        assert_has(&insert(&elsewhere).expect(201).rows()[0], &elsewhere.object(row, n));
        assert_eq!(world.stored(&first), Some(first), "{columns:?}");
    }
}
