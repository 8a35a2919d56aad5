//! Those who may not: another organization, a member who only reads, a colleague.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::catalog::{self, ForeignKey};
use super::world::World;
use super::{Spec, merged};
use crate::actor::{Actor, id_of};
use crate::http::{Response, text};
use crate::permissions::{Scope, Whose};

#[track_caller]
fn assert_nothing(answer: &Response) {
    assert_eq!((answer.status, answer.text().as_str()), (200, "[]"), "{answer}");
}

#[track_caller]
fn assert_forbidden(answer: &Response) {
    assert_eq!((answer.status, answer.code().as_str()), (403, "42501"), "{answer}");
}

/// The keys of which the full row has a value.
fn references(spec: &Spec, row: &Value) -> Vec<ForeignKey> {
    let keys = catalog::foreign_keys(spec.table).into_iter();
    keys.filter(|key| row[&key.column].is_string() && key.table != "organizations").collect()
}

pub fn is_hidden_from_another_tenant(spec: &'static Spec) {
    let (world, stranger) = (World::of(spec), World::of(spec));
    let row = world.insert_full();
    let (theirs, me) = (stranger.insert(Map::new()), &stranger.owner);
    let org = world.owner.organization.id;
    let id = id_of(&row);
    assert_nothing(&me.get(&world.path_of(&row)));
    for filter in [
        format!("org_id=eq.{org}"),
        format!("org_id=neq.{}", me.organization.id),
        format!("id=eq.{id}"),
        format!("or=(id.eq.{id},org_id.eq.{org})"),
        format!("or=(created_at.not.is.null,id.is.null)&org_id=not.eq.{}", me.organization.id),
    ] {
        let answer = me.request("GET", &world.path(&filter)).prefer("count=exact").send();
        assert_nothing(&answer);
        assert_eq!(answer.header("Content-Range"), Some("*/0"), "{answer}");
    }
    let both = me.get(&world.path(&format!("id=in.({id},{})", id_of(&theirs))));
    assert_eq!(both.column("id"), [text(&theirs["id"])], "{both}");
    for key in references(spec, &row) {
        let (column, table, target) = (&key.column, &key.table, text(&row[&key.column]));
        assert_nothing(&me.get(&world.path(&format!("{column}=eq.{target}"))));
        if key.between == 1 {
            assert_nothing(&me.get(&format!("/{table}?id=eq.{target}&select=id,{}(*)", spec.table)));
            assert_nothing(&me.get(&world.path(&format!("select=id,{table}!inner(id)&{table}.id=eq.{target}"))));
        }
    }
    let csv = me.request("GET", &world.path_of(&row)).header("Accept", "text/csv").send().expect(200);
    assert!(!csv.text().contains(&id.to_string()), "{csv}");
}

pub fn is_not_changed_by_another_tenant(spec: &'static Spec) {
    let (world, stranger) = (World::of(spec), World::of(spec));
    let (row, theirs, me) = (world.insert_full(), stranger.insert(Map::new()), &stranger.owner);
    let (before, change) = (world.fingerprint(), json!(world.object(spec.change, 1)));
    let org = world.owner.organization.id;
    assert_nothing(&me.patch(&world.path_of(&row), &change));
    assert_nothing(&me.delete(&world.path_of(&row)));
    for filter in [format!("org_id=eq.{org}"), format!("org_id=neq.{}", me.organization.id)] {
        assert_nothing(&me.patch(&world.path(&filter), &change));
        assert_nothing(&me.delete(&world.path(&filter)));
    }
    let mut least = stranger.least(stranger.next());
    least.insert("org_id".into(), json!(org));
    assert_forbidden(&stranger.post(me, &least).send());
    for resolution in ["merge-duplicates", "ignore-duplicates"] {
        least.insert("id".into(), row["id"].clone());
        let upsert = me.request("POST", &world.path("on_conflict=org_id,id"));
        assert_forbidden(&upsert.prefer(&format!("resolution={resolution}")).json(&json!(least)).send());
    }
    assert_forbidden(&me.patch(&world.path_of(&theirs), &json!({ "org_id": org })));
    assert_eq!(world.fingerprint(), before);
    assert_eq!(stranger.stored(&theirs), Some(theirs));
}

/// What exists elsewhere gets the same answer as what exists nowhere.
pub fn refers_to_nothing_of_another_tenant(spec: &'static Spec) {
    let (world, stranger) = (World::of(spec), World::of(spec));
    let (row, theirs, me) = (world.insert_full(), stranger.insert(Map::new()), &stranger.owner);
    let (before, before_theirs) = (world.fingerprint(), stranger.fingerprint());
    let another = stranger.next();
    for column in catalog::columns(spec.table) {
        let Some(table) = column.refers_to.filter(|_| !(spec.personal && column.name == "owner_id")) else { continue };
        let column = column.name;
        if spec.columns_of(spec.kept).contains(&column) {
            continue;
        }
        let of_variant = world.variant(&column, 1);
        let target = match row[&column].as_str().or_else(|| of_variant.get(&column)?.as_str()) {
            _ if table == "memberships" => world.owner.user.to_string(),
            Some(target) => target.to_owned(),
            None => panic!("the full row has no {column}"),
        };
        let to = |target: &str| {
            let mut pointer = stranger.variant(&column, 1);
            pointer.insert(column.clone(), json!(target));
            let post = stranger.post(me, &merged(stranger.least(another), pointer.clone())).send();
            let patch = me.patch(&stranger.path_of(&theirs), &json!(pointer));
            [post, patch].map(|answer| {
                assert!((400..500).contains(&answer.status), "{column}: {answer}");
                format!("{} {}", answer.status, answer.text().replace(target, "{target}"))
            })
        };
        assert_eq!(to(&target), to(&Uuid::new_v4().to_string()), "{column}");
    }
    assert_eq!((world.fingerprint(), stranger.fingerprint()), (before, before_theirs));
}

/// Of a table that only the database writes: not even by the organization's owner, who may delete rows of some.
pub fn is_written_by_nobody(spec: &'static Spec) {
    let (world, me) = (World::of(spec), Actor::register());
    let row = world.insert(Map::new());
    let (before, path) = (world.fingerprint(), world.path_of(&row));
    for actor in [&world.owner, &me] {
        let org = json!({ "org_id": actor.organization.id });
        assert_forbidden(&actor.post(&world.path(""), &org));
        assert_forbidden(&actor.patch(&path, &org));
        if !spec.deleted {
            assert_forbidden(&actor.delete(&path));
        }
    }
    if spec.deleted {
        assert_nothing(&me.delete(&path));
    }
    assert_eq!(world.fingerprint(), before);
    if spec.deleted {
        assert_eq!(world.owner.delete(&path).expect(200).rows().len(), 1);
    }
}

// ---------------------------------------------------------------------------------------------- colleagues

/// How far the built-in roles reach an entity, as the API tells: that it is as documented, permission_matrix.rs shows.
struct Reach {
    spec: &'static Spec,
    permissions: Vec<Value>,
}

impl Reach {
    fn of(world: &World) -> Self {
        let permissions = world.owner.get("/built_in_permissions").expect(200).rows();
        assert!(!permissions.is_empty());
        Self { spec: world.spec, permissions }
    }

    fn scope(&self, role: &str, action: &str) -> Scope {
        let resource = self.spec.resource();
        // Who changes a record changes its parts.
        let action = if self.spec.part_of.is_some() && action != "read" { "update" } else { action };
        let covers = |permission: &str| {
            let (left, right) = permission.split_once('.').unwrap();
            (left == "*" || left == resource) && (right == "*" || right == action)
        };
        let mine = self.permissions.iter().filter(|row| row["role"] == role && covers(&text(&row["permission"])));
        let scopes = mine.map(|row| match text(&row["scope"]).as_str() {
            "own" => Scope::Own,
            "team" => Scope::Team,
            "all" => Scope::All,
            other => panic!("there is no scope {other}"),
        });
        scopes.max().unwrap_or(Scope::None)
    }
}

pub fn is_not_written_by_who_may_only_read(spec: &'static Spec) {
    let world = World::of(spec);
    let roles = Reach::of(&world);
    let reader = Actor::member(&world.owner.organization, "read_only");
    let row = world.insert(Map::new());
    let (path, change) = (world.path_of(&row), json!(world.object(spec.change, 1)));
    let reach = |action: &str| roles.scope("read_only", action);
    let seen = if reach("read") == Scope::All { json!([row]) } else { json!([]) };
    assert_eq!(reader.get(&path).expect(200).json(), seen);
    let (before, least) = (world.fingerprint(), world.least(world.next()));
    assert_forbidden(&world.post(&reader, &least).send());
    for (action, answer) in [("update", reader.patch(&path, &change)), ("delete", reader.delete(&path))] {
        if reach(action) == Scope::None { assert_forbidden(&answer) } else { assert_nothing(&answer) }
    }
    let upsert = reader.request("POST", &world.path("on_conflict=org_id,id")).prefer("resolution=merge-duplicates");
    let existing = merged(least, Map::from_iter([("id".into(), row["id"].clone())]));
    assert_forbidden(&upsert.json(&json!(existing)).send());
    assert_eq!(world.fingerprint(), before);
}

/// A sales person, before a colleague's row and then before their own.
pub fn is_a_colleagues_only_as_far_as_the_role_reaches(spec: &'static Spec) {
    let world = World::of(spec);
    let roles = Reach::of(&world);
    let [sales, colleague] = ["sales", "sales"].map(|role| Actor::member(&world.owner.organization, role));
    let (row, change) = (world.insert(Map::new()), json!(world.object(spec.change, 1)));
    let (path, owned) = (world.path_of(&row), row.get("owner_id").is_some());
    let whose = if owned {
        [(Whose::Other, colleague.user), (Whose::Own, sales.user)]
    } else {
        [(Whose::Nobody, sales.user); 2]
    };
    for (whose, owner) in whose {
        if owned {
            world.give(&row, owner);
        }
        let scope = |action: &str| roles.scope("sales", action);
        let reads = scope("read").reaches(whose);
        let seen = if reads { json!([world.stored(&row)]) } else { json!([]) };
        assert_eq!(sales.get(&path).expect(200).json(), seen, "{whose:?}");
        for (action, answer) in [
            ("update", &(|| sales.patch(&path, &change)) as &dyn Fn() -> Response),
            ("delete", &|| sales.delete(&path)),
        ] {
            let (before, answer) = (world.stored(&row), answer());
            match scope(action) {
                Scope::None => assert_forbidden(&answer),
                _ if !reads => assert_nothing(&answer),
                scope if !scope.reaches(whose) => assert_forbidden(&answer),
                _ => assert_eq!((answer.status, answer.rows().len()), (200, 1), "{whose:?}: {answer}"),
            }
            let done = answer.status == 200 && answer.text() != "[]";
            assert_eq!(world.stored(&row) != before, done, "{whose:?}: {answer}");
        }
    }
}

/// Nor does a sales person make a row a colleague's, or a part of a colleague's record.
pub fn is_not_made_for_a_colleague_by_who_may_not(spec: &'static Spec) {
    let world = World::of(spec);
    let [sales, colleague] = ["sales", "sales"].map(|role| Actor::member(&world.owner.organization, role));
    let row = world.insert(Map::new());
    let owned = row.get("owner_id").is_some();
    let whose = if owned { Whose::Other } else { Whose::Nobody };
    if Reach::of(&world).scope("sales", "create").reaches(whose) {
        return;
    }
    let mut new = world.least(world.last());
    if spec.part_of.is_some() {
        world.give(&row, colleague.user);
        world.owner.delete(&world.path_of(&row)).expect(200);
    } else if owned {
        new.insert("owner_id".into(), json!(colleague.user));
    }
    let before = world.fingerprint();
    for request in [
        sales.request("POST", &world.path("")),
        sales.request("POST", &world.path("on_conflict=org_id,id")).prefer("resolution=merge-duplicates"),
    ] {
        let answer = request.json(&json!(new)).send();
        // Before a policy is asked, a trigger may look for a record that is not seen.
        let unseen = answer.status == 400 && answer.code() == "22023";
        assert!(unseen || (answer.status, answer.code().as_str()) == (403, "42501"), "{answer}");
    }
    assert_eq!(world.fingerprint(), before);
}
