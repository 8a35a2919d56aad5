//! Every cell of the table in docs/permissions.md, over HTTP: what each built-in role may do, and to whose rows.

mod tables;

use std::collections::BTreeMap;
use std::thread;

use crm_http_tests::actor::{Actor, id_of};
use crm_http_tests::http::{Response, text};
use crm_http_tests::machine::Key;
use crm_http_tests::permissions::{Matrix, Scope, Whose};
use crm_http_tests::{admin, all, team, unique};
use serde_json::{Value, json};
use uuid::Uuid;

use tables::{APART, TABLES, Table};

/// Permissions that are not about the rows of an enrolled table.
const OTHERS: [&str; 16] = [
    "organizations.read",
    "organizations.update",
    "users.read",
    "memberships.read",
    "memberships.update",
    "memberships.delete",
    "invitations.read",
    "invitations.create",
    "invitations.delete",
    "api_keys.read",
    "api_keys.create",
    "api_keys.delete",
    "access.read",
    "audit.read",
    "audit.erase",
    "webhooks.create",
];

struct World {
    matrix: Matrix,
    owner: Actor,
    /// In one group with all who act.
    colleague: Actor,
    other: Actor,
    stranger: Actor,
    actors: Vec<(String, Actor)>,
}

impl World {
    fn new() -> Self {
        let (matrix, owner) = (Matrix::documented(), Actor::register());
        let member = |role: &str| Actor::member(&owner.organization, role);
        let (colleague, other) = (member("sales"), member("sales"));
        let actors: Vec<_> = matrix.roles.iter().map(|role| (role.clone(), member(role))).collect();
        let people: Vec<_> = actors.iter().map(|(_, actor)| actor).chain([&colleague]).collect();
        team::group(&owner, &people);
        Self { matrix, colleague, other, stranger: Actor::register(), actors, owner }
    }

    /// Each role at once.
    fn each_role(&self, check: impl Fn(&str, &Actor) -> Vec<Result<(), String>> + Sync) {
        let results: Vec<_> = thread::scope(|scope| {
            let check = &check;
            let all: Vec<_> =
                self.actors.iter().map(|(role, actor)| scope.spawn(move || (role, check(role, actor)))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let results = results.into_iter().flat_map(|(role, results)| results.into_iter().map(move |one| (role, one)));
        all(results, |(role, result)| result.map_err(|problem| format!("{role}: {problem}")));
    }

    fn user(&self, actor: &Actor, whose: Whose) -> Option<Uuid> {
        match whose {
            Whose::Own => Some(actor.user),
            Whose::Team => Some(self.colleague.user),
            Whose::Other => Some(self.other.user),
            Whose::Nobody => None,
        }
    }
}

/// What the table says of a request.
#[derive(Debug, PartialEq)]
enum Expected {
    /// The row.
    Row,
    /// `[]`, as if there were none.
    Nothing,
    /// 403, with this in the message.
    Refused(String),
}

/// Someone of a role, before a row.
struct Case<'a> {
    matrix: &'a Matrix,
    role: &'a str,
    table: &'a Table,
    whose: Whose,
}

impl Case<'_> {
    fn scope(&self, action: &str) -> Scope {
        self.matrix.scope(self.role, &format!("{}.{action}", self.table.name))
    }

    /// Rows without owners are reached by scope all alone.
    fn reaches(&self, action: &str) -> bool {
        self.scope(action).reaches(if self.table.owned { self.whose } else { Whose::Nobody })
    }

    fn not_at_all(&self, action: &str) -> Option<Expected> {
        let permission = format!("{}.{action}", self.table.name);
        (self.scope(action) == Scope::None)
            .then(|| Expected::Refused(format!("your role does not permit {permission}")))
    }

    /// Of GET (read), PATCH (update) or DELETE.
    fn expected(&self, action: &str) -> Expected {
        if action != "read"
            && let Some(refused) = self.not_at_all(action)
        {
            return refused;
        }
        if !self.reaches("read") {
            Expected::Nothing
        } else if self.reaches(action) {
            Expected::Row
        } else {
            Expected::Refused(format!("you may see this row, but {}.{action} reaches only", self.table.name))
        }
    }

    /// Of a POST that asks for the row.
    fn expected_of_insert(&self) -> Expected {
        if let Some(refused) = self.not_at_all("create") {
            refused
        } else if self.reaches("create") && self.reaches("read") {
            Expected::Row
        } else {
            Expected::Refused("row-level security".into())
        }
    }
}

fn compare(answer: &Response, expected: &Expected, status: u16) -> Result<(), String> {
    let fits = match expected {
        Expected::Row => answer.status == status && answer.rows().len() == 1,
        Expected::Nothing => answer.status == status && answer.text() == "[]",
        Expected::Refused(message) => {
            answer.status == 403 && answer.code() == "42501" && text(&answer.json()["message"]).contains(message)
        }
    };
    if fits { Ok(()) } else { Err(format!("{expected:?} expected: {answer}")) }
}

/// GET, PATCH and DELETE of a row: the answer, and what is stored afterwards.
fn try_row(actor: &Actor, table: &Table, id: Uuid, expected: impl Fn(&str) -> Expected) -> Result<(), String> {
    let (path, change) = (format!("/{}?id=eq.{id}", table.name), serde_json::from_str(table.change).unwrap());
    for (action, answer) in [
        ("read", &(|| actor.get(&path)) as &dyn Fn() -> Response),
        ("update", &|| actor.patch(&path, &change)),
        ("delete", &|| actor.delete(&path)),
    ] {
        let (before, expected) = (table.stored(id), expected(action));
        let answer = answer();
        compare(&answer, &expected, 200)?;
        let after = table.stored(id);
        let done = match action {
            _ if expected != Expected::Row || action == "read" => after == before,
            "update" => {
                let (after, answer) = (after.unwrap(), answer.rows().remove(0));
                let member = change.as_object().unwrap().keys().next().unwrap();
                after[member] == change[member] && answer[member] == change[member]
            }
            _ => after.is_none(),
        };
        if !done {
            return Err(format!("{} then: {answer}", table.stored(id).unwrap_or_default()));
        }
        if expected == Expected::Row && id_of(&answer.rows()[0]) != id {
            return Err(format!("another row: {answer}"));
        }
    }
    Ok(())
}

fn try_insert(actor: &Actor, table: &Table, body: &Value, expected: &Expected) -> Result<(), String> {
    let before = table.rows(&actor.organization);
    let path = format!("/{}", table.name);
    let answer = actor.request("POST", &path).prefer("return=representation").json(body).send();
    compare(&answer, expected, 201)?;
    if *expected == Expected::Row && table.stored(id_of(&answer.rows()[0])).is_none() {
        return Err(format!("not stored: {answer}"));
    }
    let outside = table.rows(&actor.organization);
    if outside == before { Ok(()) } else { Err(format!("{outside} rows in another organization: {answer}")) }
}

// ---------------------------------------------------------------------------------------------- rows

#[test]
fn each_role_reaches_the_rows_of_those_the_table_says() {
    let world = World::new();
    world.each_role(|role, actor| {
        let mut results = vec![];
        for table in TABLES.iter().filter(|table| table.owned) {
            for whose in Whose::ANY {
                let case = Case { matrix: &world.matrix, role, table, whose };
                let owner = world.user(actor, whose);
                let id = table.make(&world.owner.organization, owner);
                let label = |problem: String| format!("{whose:?}: {problem}");
                results.push(try_row(actor, table, id, |action| case.expected(action)).map_err(label));
                let mut body = table.body(&world.owner.organization);
                body["owner_id"] = json!(owner);
                // Whoever names no owner is it.
                let case = if whose == Whose::Nobody { Case { whose: Whose::Own, ..case } } else { case };
                results.push(try_insert(actor, table, &body, &case.expected_of_insert()).map_err(label));
            }
        }
        results
    });
}

#[test]
fn each_role_reaches_the_rows_without_owners_that_the_table_says() {
    let world = World::new();
    world.each_role(|role, actor| {
        let mut results = vec![];
        for table in TABLES.iter().filter(|table| !table.owned) {
            let case = Case { matrix: &world.matrix, role, table, whose: Whose::Nobody };
            let id = table.make(&world.owner.organization, None);
            results.push(try_row(actor, table, id, |action| case.expected(action)));
            let body = table.body(&world.owner.organization);
            results.push(try_insert(actor, table, &body, &case.expected_of_insert()));
        }
        results
    });
}

/// What somebody owns in an organization of their own counts as little as what strangers have.
#[test]
fn no_role_reaches_another_organization() {
    let world = World::new();
    world.each_role(|role, actor| {
        let mut results = vec![];
        for table in &TABLES {
            for organization in [&actor.organization, &world.stranger.organization] {
                let owner = (organization.id == actor.organization.id).then_some(actor.user);
                let case = Case { matrix: &world.matrix, role, table, whose: Whose::Own };
                let hidden = |action: &str| match action {
                    "read" => Expected::Nothing,
                    _ => case.not_at_all(action).unwrap_or(Expected::Nothing),
                };
                results.push(try_row(actor, table, table.make(organization, owner), hidden));
                let mut body = table.body(organization);
                body["org_id"] = json!(organization.id);
                let answer = actor.post(&format!("/{}", table.name), &body);
                results.push(compare(&answer, &Expected::Refused(String::new()), 201));
            }
        }
        results
    });
}

// ---------------------------------------------------------------------------------------------- what is not a row

/// What a permission that is not about rows of an enrolled table lets somebody do.
fn attempt(world: &World, actor: &Actor, permission: &str) -> Option<Response> {
    let call = |function: &str, arguments: Value| actor.post(&format!("/rpc/{function}"), &arguments);
    let newcomer = || Actor::member(&world.owner.organization, "read_only").user;
    let address = || format!("{}@example.com", unique("invited"));
    Some(match permission {
        "organizations.update" => actor
            .request("PATCH", &format!("/organizations?id=eq.{}", world.owner.organization.id))
            // The one row: no row at all would be 406.
            .header("Accept", "application/vnd.pgrst.object+json")
            .prefer("return=representation")
            .json(&json!({ "name": unique("Renamed") }))
            .send(),
        "memberships.update" => call("set_member_role", json!({ "user_id": newcomer(), "role": "read_only" })),
        "memberships.delete" => call("remove_member", json!({ "user_id": newcomer() })),
        "invitations.read" => actor.get("/rpc/list_invitations"),
        "invitations.create" => call("invite_user", json!({ "email": address(), "role": "read_only" })),
        "invitations.delete" => {
            let invitation = json!({ "email": address(), "role": "read_only" });
            let invitation = id_of(&world.owner.post("/rpc/invite_user", &invitation).expect(200).json());
            call("revoke_invitation", json!({ "invitation_id": invitation }))
        }
        "api_keys.read" => actor.get("/rpc/list_api_keys"),
        "api_keys.create" => call("create_api_key", json!({ "name": "Backend", "scopes": ["contacts.read"] })),
        "api_keys.delete" => {
            let key = Key::of(&world.owner, &["contacts.read"]);
            call("revoke_api_key", json!({ "api_key_id": key.id }))
        }
        "webhooks.create" => {
            call("create_webhook", json!({ "name": unique("Hook"), "url": "https://example.com/hook" }))
        }
        "access.read" => call("explain_access", json!({ "user_id": world.other.user, "resource": "contacts" })),
        "audit.read" => actor.get("/rpc/audit_checkpoint"),
        "audit.erase" => {
            let contact = world.owner.insert("contacts", &json!({ "last_name": "Forgotten" }));
            call("erase_person", json!({ "entity": "contacts", "id": contact["id"] }))
        }
        _ => return None,
    })
}

#[test]
fn each_role_calls_the_functions_that_the_table_says() {
    let world = World::new();
    world.each_role(|role, actor| {
        let results = OTHERS.iter().map(|permission| {
            let Some(answer) = attempt(&world, actor, permission) else { return Ok(()) };
            match world.matrix.scope(role, permission) {
                Scope::All if answer.status == 200 => Ok(()),
                Scope::All => Err(format!("200 expected: {answer}")),
                _ => {
                    let refused = Expected::Refused(format!("your role does not permit {permission}"));
                    compare(&answer, &refused, 200)
                }
            }
        });
        results.collect()
    });
}

#[test]
fn each_role_sees_the_organization_and_its_people_as_the_table_says() {
    let world = World::new();
    let people = world.actors.len() + 3;
    world.each_role(|role, actor| {
        // One's own organizations are listed whatever one's role: the one of this world, and the one of one's own.
        let results = [("organizations", 2, 2), ("users", people, 1), ("memberships", people, 0)];
        let results = results.map(|(table, all, none)| {
            let reads = world.matrix.scope(role, &format!("{table}.read")) == Scope::All;
            let (seen, expected) = (actor.get(&format!("/{table}")).rows().len(), if reads { all } else { none });
            if seen == expected { Ok(()) } else { Err(format!("{seen} {table} instead of {expected}")) }
        });
        results.into()
    });
}

// ---------------------------------------------------------------------------------------------- the table itself

#[test]
fn the_table_has_every_permission_and_is_tried_in_every_cell() {
    let matrix = Matrix::documented();
    let mut known = OTHERS.map(String::from).to_vec();
    for table in &TABLES {
        known.extend(["read", "create", "update", "delete"].map(|action| format!("{}.{action}", table.name)));
    }
    for (table, actions) in APART {
        known.extend(actions.iter().map(|action| format!("{table}.{action}")));
    }
    known.sort();
    assert_eq!(matrix.permissions().collect::<Vec<_>>(), known, "say in this file how each permission is tried");
    let catalogue = Actor::register().get("/permissions?order=resource,action").expect(200).rows();
    let mut catalogue: Vec<_> =
        catalogue.iter().map(|row| format!("{}.{}", text(&row["resource"]), text(&row["action"]))).collect();
    catalogue.sort();
    assert_eq!(catalogue, known);
    let enrolled: Vec<String> = admin::value(
        "select array_agg(c.relname::text order by c.relname)
         from pg_trigger as t join pg_class as c on c.oid = t.tgrelid
         where t.tgfoid = 'crm_private.guard'::regproc and c.relnamespace = 'crm'::regnamespace
             -- Parts have the permissions of their record.
             and encode(t.tgargs, 'escape') not like '%\\\\000part\\\\000'",
        &[],
    );
    let mut tables: Vec<_> = TABLES.iter().map(|table| table.name).chain(APART.map(|(table, _)| table)).collect();
    tables.sort_unstable();
    assert_eq!(enrolled, tables);
}

#[test]
fn each_role_is_told_its_own_permissions() {
    let world = World::new();
    world.each_role(|role, actor| {
        let told = actor.get("/rpc/my_permissions").expect(200).rows();
        let told = told.iter().map(|row| (text(&row["permission"]), text(&row["scope"])));
        let documented =
            world.matrix.permissions().map(|permission| (permission, world.matrix.scope(role, permission)));
        let documented = documented.filter(|(_, scope)| *scope != Scope::None);
        let documented = documented.map(|(permission, scope)| (permission.to_owned(), scope.name().to_owned()));
        let (told, documented) = (told.collect::<BTreeMap<_, _>>(), documented.collect::<BTreeMap<_, _>>());
        vec![if told == documented { Ok(()) } else { Err(format!("{told:?} instead of {documented:?}")) }]
    });
}

#[test]
fn the_built_in_roles_are_told_up_to_ones_own_rank() {
    let world = World::new();
    let covers = |pattern: &str, permission: &str| {
        let ((left, right), (resource, action)) =
            (pattern.split_once('.').unwrap(), permission.split_once('.').unwrap());
        (left == "*" || left == resource) && (right == "*" || right == action)
    };
    let ranks = [("owner", 100), ("admin", 80), ("manager", 60), ("sales", 40), ("support", 40), ("read_only", 20)];
    let ranks = BTreeMap::from(ranks);
    world.each_role(|role, actor| {
        let told = actor.get("/built_in_permissions").expect(200).rows();
        let mut named = actor.get("/built_in_roles?order=name").expect(200).column("name");
        named.sort();
        let visible: Vec<_> = ranks.iter().filter(|(_, rank)| **rank <= ranks[role]).map(|(name, _)| *name).collect();
        let mut results = vec![if named == visible { Ok(()) } else { Err(format!("roles {named:?}")) }];
        for other in visible {
            for permission in world.matrix.permissions() {
                let scopes =
                    told.iter().filter(|row| row["role"] == other && covers(&text(&row["permission"]), permission));
                let scopes: Vec<_> = scopes.map(|row| text(&row["scope"])).collect();
                let expected = world.matrix.scope(other, permission);
                let expected = if expected == Scope::None { vec![] } else { vec![expected.name().to_owned()] };
                if scopes != expected {
                    results.push(Err(format!("{other} {permission}: {scopes:?} instead of {expected:?}")));
                }
            }
        }
        results
    });
}
