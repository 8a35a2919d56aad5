//! Two organizations, and people who try to look from one into the other. Three oracles decide on every attack: nothing
//! of the victim's is in the answer, nothing of the victim's changes, and what exists elsewhere gets the same answer as
//! what exists nowhere.

use crm_http_tests::actor::Actor;
use crm_http_tests::http::Response;
use crm_http_tests::victim::{Names, Victim, comparable};
use crm_http_tests::{admin, all};
use uuid::Uuid;

/// Method and path, body, Prefer, and the status a stranger gets who is the owner of another organization. {own} is
/// their organization, {own_contact} and {own_account} are rows of theirs.
struct Attack(&'static str, &'static str, &'static str, u16);

const REPRESENTATION: &str = "return=representation";
const MERGE: &str = "resolution=merge-duplicates, return=minimal";
const IGNORE: &str = "resolution=ignore-duplicates, return=minimal";
const EXACT: &str = "count=exact";

const READS: [Attack; 49] = [
    Attack("GET /contacts?id=eq.{contact}", "", "", 200),
    Attack("GET /contacts?id=eq.{contact}", "", EXACT, 200),
    Attack("HEAD /contacts?id=eq.{contact}", "", EXACT, 200),
    Attack("HEAD /contacts?org_id=eq.{org}", "", EXACT, 200),
    Attack("HEAD /accounts?org_id=neq.{own}", "", EXACT, 200),
    Attack("GET /contacts?id=in.({contact},{account})", "", "", 200),
    Attack("GET /contacts?id=gte.{contact}&id=lte.{contact}", "", EXACT, 200),
    Attack("GET /contacts?email=eq.{key}@example.com", "", EXACT, 200),
    Attack("GET /contacts?email=like.{key}*", "", EXACT, 200),
    Attack("GET /contacts?external_id=eq.{key}", "", EXACT, 200),
    Attack("GET /contacts?org_id=eq.{org}", "", EXACT, 200),
    Attack("GET /contacts?org_id=neq.{own}", "", EXACT, 200),
    Attack("GET /contacts?org_id=not.eq.{own}", "", EXACT, 200),
    Attack("GET /contacts?account_id=eq.{account}", "", EXACT, 200),
    Attack("GET /contacts?owner_id=eq.{user}", "", EXACT, 200),
    Attack("GET /contacts?created_by=eq.{user}", "", EXACT, 200),
    Attack(
        "GET /contacts?or=(id.eq.{contact},email.eq.{key}@example.com,org_id.eq.{org},id.not.is.null)&org_id=eq.{org}",
        "",
        EXACT,
        200,
    ),
    Attack("GET /contacts?not.or=(org_id.eq.{own},org_id.is.null)", "", EXACT, 200),
    Attack("GET /contacts?id=eq.{contact}&select=*,account:accounts(*)", "", "", 200),
    Attack("GET /contacts?select=*,account:accounts!inner(*)&account.id=eq.{account}", "", EXACT, 200),
    Attack("GET /contacts?select=*,account:accounts!inner(*)&account.org_id=eq.{org}", "", EXACT, 200),
    Attack("GET /contacts?id=eq.{contact}&select=*,organizations(*),memberships(*)", "", "", 200),
    Attack("GET /accounts?id=eq.{account}", "", EXACT, 200),
    Attack("GET /accounts?id=eq.{account}&select=*,contacts(*)", "", "", 200),
    Attack("GET /accounts?select=*,contacts!inner(*)&contacts.id=eq.{contact}", "", EXACT, 200),
    Attack("GET /accounts?external_id=eq.{key}", "", EXACT, 200),
    Attack("GET /organizations?id=eq.{org}", "", EXACT, 200),
    Attack("GET /organizations?slug=eq.{slug}&select=*,contacts(*),accounts(*),memberships(*)", "", "", 200),
    Attack("GET /organizations?select=*,contacts!inner(*)&contacts.org_id=eq.{org}", "", EXACT, 200),
    Attack("GET /memberships?org_id=eq.{org}", "", EXACT, 200),
    Attack("GET /memberships?user_id=eq.{user}&select=*,users(*),organizations(*)", "", "", 200),
    Attack("GET /users?id=eq.{user}", "", EXACT, 200),
    Attack("GET /users?id=eq.{user}&select=*,memberships(*)", "", "", 200),
    Attack("GET /users?select=*,memberships!inner(*)&memberships.org_id=eq.{org}", "", EXACT, 200),
    Attack("GET /users?email=like.{slug}*", "", EXACT, 200),
    Attack("GET /roles?name=eq.{role}", "", EXACT, 200),
    Attack("GET /roles?org_id=eq.{org}&select=*,role_permissions(*),group_roles(*)", "", EXACT, 200),
    Attack("GET /role_permissions?role=eq.{role}&select=*,roles(*)", "", EXACT, 200),
    Attack("GET /groups?id=eq.{group}", "", EXACT, 200),
    Attack("GET /groups?org_id=eq.{org}&select=*,group_members(*),group_permissions(*),group_roles(*)", "", "", 200),
    Attack("GET /group_members?user_id=eq.{user}&select=*,groups(*)", "", EXACT, 200),
    Attack("GET /group_permissions?group_id=eq.{group}&select=*,groups(*)", "", EXACT, 200),
    Attack("GET /group_roles?role=eq.{role}&select=*,groups(*)", "", EXACT, 200),
    Attack("GET /groups?org_id=neq.{own}", "", EXACT, 200),
    Attack("GET /contacts?id=eq.{contact}&select=id,last_name::int", "", "", 200),
    Attack("GET /contacts?last_name=match.(.&id=eq.{contact}", "", "", 400),
    Attack("GET /contacts?org_id=eq.{org}", "", "count=planned", 400),
    Attack("GET /contacts?org_id=eq.{org}", "", "count=estimated", 400),
    Attack("GET /contacts?org_id=eq.{org}&limit=0", "", EXACT, 200),
];

const CHANGES: [Attack; 37] = [
    Attack("PATCH /contacts?id=eq.{contact}", r#"{"last_name": "taken"}"#, REPRESENTATION, 200),
    Attack("PATCH /contacts?email=eq.{key}@example.com", r#"{"last_name": "taken"}"#, EXACT, 204),
    Attack("PATCH /contacts?org_id=eq.{org}", r#"{"last_name": "taken"}"#, EXACT, 204),
    Attack("PATCH /contacts?org_id=eq.{org}", r#"{"org_id": "{own}"}"#, EXACT, 204),
    Attack("PATCH /contacts?org_id=neq.{own}", r#"{"last_name": "taken"}"#, EXACT, 204),
    Attack("PATCH /contacts", r#"{"title": "everybody"}"#, "", 204),
    Attack("PATCH /accounts?id=eq.{account}", r#"{"name": "taken"}"#, REPRESENTATION, 200),
    Attack("PATCH /contacts?id=eq.{own_contact}", r#"{"org_id": "{org}"}"#, REPRESENTATION, 403),
    Attack("PATCH /contacts?id=eq.{own_contact}", r#"{"id": "{contact}"}"#, REPRESENTATION, 403),
    Attack("PATCH /contacts?id=eq.{own_contact}", r#"{"org_id": "{org}", "id": "{contact}"}"#, "", 403),
    Attack("PATCH /contacts?id=eq.{own_contact}", r#"{"account_id": "{account}"}"#, "", 409),
    Attack("PATCH /contacts?id=eq.{own_contact}", r#"{"owner_id": "{user}"}"#, "", 409),
    Attack("PATCH /contacts?id=eq.{own_contact}", r#"{"email": "{key}@example.com"}"#, "", 204),
    Attack("PATCH /contacts?id=eq.{own_contact}", r#"{"external_id": "{key}"}"#, "", 204),
    Attack("PATCH /accounts?id=eq.{own_account}", r#"{"parent_id": "{account}"}"#, "", 409),
    Attack("PATCH /accounts?id=eq.{own_account}", r#"{"org_id": "{org}"}"#, "", 403),
    Attack("PATCH /organizations?id=eq.{org}", r#"{"name": "taken"}"#, "", 204),
    Attack("PATCH /memberships?org_id=eq.{org}", r#"{"role": "read_only"}"#, "", 403),
    Attack("PATCH /users?id=eq.{user}", r#"{"full_name": "taken"}"#, "", 204),
    Attack("PATCH /roles?name=eq.{role}", r#"{"rank": 1}"#, REPRESENTATION, 200),
    Attack("PATCH /role_permissions?role=eq.{role}", r#"{"scope": "own"}"#, EXACT, 204),
    Attack("PATCH /groups?id=eq.{group}", r#"{"name": "taken"}"#, REPRESENTATION, 200),
    Attack("PATCH /group_members?group_id=eq.{group}", r#"{"user_id": "{me}"}"#, EXACT, 204),
    Attack("PATCH /group_permissions?group_id=eq.{group}", r#"{"permission": "*.*"}"#, EXACT, 204),
    Attack("DELETE /roles?name=eq.{role}", "", REPRESENTATION, 200),
    Attack("DELETE /groups?id=eq.{group}", "", REPRESENTATION, 200),
    Attack("DELETE /group_members?user_id=eq.{user}", "", EXACT, 204),
    Attack("DELETE /group_roles?role=eq.{role}", "", EXACT, 204),
    Attack("DELETE /contacts?id=eq.{contact}", "", REPRESENTATION, 200),
    Attack("DELETE /contacts?email=eq.{key}@example.com", "", EXACT, 204),
    Attack("DELETE /contacts?org_id=eq.{org}", "", EXACT, 204),
    Attack("DELETE /contacts", "", "", 204),
    Attack("DELETE /accounts?id=eq.{account}", "", REPRESENTATION, 200),
    Attack("DELETE /accounts?id=eq.{account}&select=*,contacts(*)", "", REPRESENTATION, 200),
    Attack("DELETE /organizations?id=eq.{org}", "", "", 403),
    Attack("DELETE /memberships?org_id=eq.{org}", "", "", 403),
    Attack("DELETE /users?id=eq.{user}", "", "", 403),
];

const INSERTS: [Attack; 43] = [
    Attack("POST /contacts", r#"{"last_name": "in", "org_id": "{org}"}"#, "", 403),
    Attack(
        "POST /contacts",
        r#"[{"last_name": "in", "org_id": "{own}"}, {"last_name": "in", "org_id": "{org}"}]"#,
        "",
        403,
    ),
    Attack("POST /contacts?columns=org_id,last_name", r#"[{"last_name": "in", "org_id": "{org}"}]"#, "", 403),
    Attack("POST /contacts", r#"{"last_name": "in", "id": "{contact}", "org_id": "{org}"}"#, "", 403),
    Attack("POST /contacts", r#"{"last_name": "in", "id": "{contact}"}"#, "", 201),
    Attack("POST /contacts", r#"{"last_name": "in", "account_id": "{account}"}"#, "", 409),
    Attack("POST /contacts", r#"{"last_name": "in", "owner_id": "{user}"}"#, "", 409),
    Attack("POST /contacts", r#"{"last_name": "in", "created_by": "{user}"}"#, "", 201),
    Attack("POST /contacts", r#"{"last_name": "in", "email": "{key}@example.com"}"#, "", 201),
    Attack("POST /contacts", r#"{"last_name": "in", "external_id": "{key}"}"#, "", 201),
    Attack("POST /accounts", r#"{"name": "in", "org_id": "{org}"}"#, "", 403),
    Attack("POST /accounts", r#"{"name": "in", "parent_id": "{account}"}"#, "", 409),
    Attack("POST /accounts", r#"{"name": "in", "external_id": "{key}"}"#, "", 201),
    Attack("POST /accounts", r#"{"name": "in", "id": "{account}"}"#, "", 201),
    Attack("POST /contacts?on_conflict=org_id,id", r#"{"last_name": "in", "id": "{contact}"}"#, MERGE, 201),
    Attack(
        "POST /contacts?on_conflict=org_id,id",
        r#"{"last_name": "in", "id": "{contact}", "org_id": "{org}"}"#,
        MERGE,
        403,
    ),
    Attack(
        "POST /contacts?on_conflict=org_id,id",
        r#"{"last_name": "in", "id": "{contact}", "org_id": "{org}"}"#,
        IGNORE,
        403,
    ),
    Attack(
        "POST /contacts?on_conflict=org_id,email",
        r#"{"last_name": "in", "email": "{key}@example.com"}"#,
        MERGE,
        201,
    ),
    Attack(
        "POST /contacts?on_conflict=org_id,email",
        r#"{"last_name": "in", "email": "{key}@example.com", "org_id": "{org}"}"#,
        MERGE,
        403,
    ),
    Attack(
        "POST /contacts?on_conflict=org_id,email",
        r#"{"last_name": "in", "email": "{key}@example.com", "org_id": "{org}"}"#,
        IGNORE,
        403,
    ),
    Attack(
        "POST /contacts?on_conflict=org_id,external_id",
        r#"{"last_name": "in", "external_id": "{key}"}"#,
        MERGE,
        201,
    ),
    Attack(
        "POST /contacts?on_conflict=org_id,external_id",
        r#"{"last_name": "in", "external_id": "{key}"}"#,
        IGNORE,
        201,
    ),
    Attack(
        "POST /contacts?on_conflict=org_id,external_id",
        r#"{"last_name": "in", "external_id": "{key}", "org_id": "{org}"}"#,
        MERGE,
        403,
    ),
    Attack(
        "POST /accounts?on_conflict=org_id,external_id",
        r#"{"name": "in", "external_id": "{key}", "org_id": "{org}"}"#,
        MERGE,
        403,
    ),
    Attack(
        "PUT /contacts?org_id=eq.{org}&id=eq.{contact}",
        r#"{"org_id": "{org}", "id": "{contact}", "last_name": "in"}"#,
        "",
        403,
    ),
    Attack(
        "PUT /contacts?org_id=eq.{own}&id=eq.{contact}",
        r#"{"org_id": "{own}", "id": "{contact}", "last_name": "in"}"#,
        "",
        204,
    ),
    Attack("PUT /contacts?id=eq.{contact}", r#"{"id": "{contact}", "last_name": "in"}"#, "", 405),
    Attack("POST /memberships", r#"{"org_id": "{org}", "user_id": "{me}", "role": "owner"}"#, "", 403),
    Attack("POST /roles", r#"{"org_id": "{org}", "name": "in"}"#, "", 403),
    Attack("POST /roles", r#"{"name": "{role}"}"#, "", 201),
    Attack("POST /role_permissions", r#"{"org_id": "{org}", "role": "{role}", "permission": "*.*"}"#, "", 403),
    Attack("POST /role_permissions", r#"{"role": "in_{role}", "permission": "*.*"}"#, "", 403),
    Attack("POST /groups", r#"{"org_id": "{org}", "name": "in"}"#, "", 403),
    Attack("POST /group_members", r#"{"org_id": "{org}", "group_id": "{group}", "user_id": "{me}"}"#, "", 403),
    Attack("POST /group_members", r#"{"group_id": "{group}", "user_id": "{me}"}"#, "", 409),
    Attack("POST /group_members", r#"{"group_id": "{group}", "user_id": "{user}"}"#, "", 409),
    Attack("POST /group_permissions", r#"{"group_id": "{group}", "permission": "*.*"}"#, "", 409),
    Attack("POST /group_roles", r#"{"group_id": "{group}", "role": "sales"}"#, "", 409),
    Attack("POST /rpc/set_member_role", r#"{"user_id": "{user}", "role": "read_only"}"#, "", 400),
    Attack("POST /rpc/remove_member", r#"{"user_id": "{user}"}"#, "", 400),
    Attack(
        "POST /rpc/explain_access",
        r#"{"user_id": "{user}", "resource": "contacts", "row_id": "{contact}"}"#,
        "",
        200,
    ),
    Attack("POST /organizations", r#"{"id": "{org}", "slug": "in", "name": "in"}"#, "", 403),
    Attack("POST /users", r#"{"id": "{user}", "email": "in@example.com"}"#, "", 403),
];

fn attacks() -> impl Iterator<Item = &'static Attack> {
    READS.iter().chain(&CHANGES).chain(&INSERTS)
}

/// Somebody who attacks: their own rows are the same before every attack.
struct Attacker {
    actor: Actor,
    account: Uuid,
    contact: Uuid,
}

impl Attacker {
    fn new(actor: Actor) -> Self {
        Self { actor, account: Uuid::new_v4(), contact: Uuid::new_v4() }
    }

    /// Puts the attacker's own rows back.
    fn reset(&self) {
        let org = self.actor.organization.id;
        admin::empty(org);
        admin::execute("insert into crm.accounts (org_id, id, name) values ($1, $2, 'own')", &[&org, &self.account]);
        admin::execute(
            "insert into crm.contacts (org_id, id, last_name) values ($1, $2, 'own')",
            &[&org, &self.contact],
        );
    }

    fn fill(&self, template: &str, names: &Names) -> String {
        names
            .fill(template)
            .replace("{own}", &self.actor.organization.id.to_string())
            .replace("{own_account}", &self.account.to_string())
            .replace("{own_contact}", &self.contact.to_string())
            .replace("{me}", &self.actor.user.to_string())
    }

    fn launch(&self, attack: &Attack, names: &Names) -> Response {
        self.reset();
        let (method, path) = attack.0.split_once(' ').unwrap();
        let mut request = self.actor.request(method, &self.fill(path, names));
        if !attack.2.is_empty() {
            request = request.prefer(attack.2);
        }
        if !attack.1.is_empty() {
            request = request.body("application/json", self.fill(attack.1, names));
        }
        request.send()
    }

    /// All three oracles.
    fn attempt(&self, attack: &Attack, victim: &Victim) -> Result<Response, String> {
        let nowhere = Names::nowhere();
        let answer = victim.unharmed(|| self.launch(attack, &victim.names))?;
        let other = self.launch(attack, &nowhere);
        let (seen, expected) = (comparable(&answer, &victim.names), comparable(&other, &nowhere));
        if seen == expected { Ok(answer) } else { Err(format!("tells that it exists: {answer}\ninstead of {other}")) }
    }
}

// ---------------------------------------------------------------------------------------------- who attacks

#[test]
fn the_owner_finds_by_the_same_requests_what_strangers_do_not() {
    let victim = Victim::register();
    let owner = victim.owner.clone();
    let finds = |attack: &&Attack| {
        let path = victim.names.fill(attack.0.trim_start_matches("GET "));
        attack.0.starts_with("GET ") && attack.3 == 200 && owner.get(&path).text().contains(&victim.secret)
    };
    // All but those that look past the own organization, ask for no row or show only roles.
    assert_eq!(READS.iter().filter(finds).count(), 37);
}

#[test]
fn an_owner_of_another_organization_reaches_nothing() {
    let (victim, stranger) = (Victim::register(), Attacker::new(Actor::register()));
    all(attacks(), |attack| {
        let answer = stranger.attempt(attack, &victim)?;
        if answer.status == attack.3 { Ok(()) } else { Err(format!("not {}: {answer}", attack.3)) }
    });
}

#[test]
fn a_member_of_two_other_organizations_without_an_active_one_reaches_nothing() {
    let victim = Victim::register();
    let stranger = Actor::register();
    stranger.join(&Actor::register().organization, "admin");
    let stranger = Attacker::new(stranger.logged_in(None));
    all(attacks(), |attack| stranger.attempt(attack, &victim).map(drop));
}

#[test]
fn a_former_member_reaches_nothing() {
    let victim = Victim::register();
    let former = Actor::register();
    former.join(&victim.owner.organization, "owner");
    admin::execute(
        "update crm.memberships set status = 'ended', ended_at = now() where org_id = $1 and user_id = $2",
        &[&victim.owner.organization.id, &former.user],
    );
    let former = Attacker::new(former.logged_in(None));
    all(attacks(), |attack| former.attempt(attack, &victim).map(drop));
}

#[test]
fn a_visitor_without_a_token_reaches_nothing() {
    let victim = Victim::register();
    let mut visitor = Actor::register();
    visitor.token = None;
    let visitor = Attacker::new(visitor);
    all(attacks(), |attack| {
        let answer = visitor.attempt(attack, &victim)?;
        // What nobody may send at all (an estimated count, a PUT without the whole key) is refused before that.
        if answer.status == 401 || (answer.status == attack.3 && matches!(attack.3, 400 | 405)) {
            Ok(())
        } else {
            Err(format!("not 401: {answer}"))
        }
    });
}

#[test]
fn a_stranger_cannot_work_in_the_others_organization() {
    let (victim, stranger) = (Victim::register(), Attacker::new(Actor::register()));
    for header in ["X-Org-ID", "X-Tenant-ID"] {
        for name in ["{org}", "{slug}", " {slug} "] {
            all(attacks().filter(|attack| !attack.2.starts_with("count=") || attack.2 == EXACT), |attack| {
                let ask = |names: &Names| {
                    let (method, path) = attack.0.split_once(' ').unwrap();
                    let request = stranger.actor.request(method, &stranger.fill(path, names));
                    let request = request.header(header, &names.fill(name));
                    let body = stranger.fill(attack.1, names);
                    if body.is_empty() { request.send() } else { request.body("application/json", body).send() }
                };
                let nowhere = Names::nowhere();
                let (answer, other) = (victim.unharmed(|| ask(&victim.names))?, ask(&nowhere));
                if comparable(&answer, &victim.names) != comparable(&other, &nowhere) {
                    return Err(format!("tells that it exists: {answer}\ninstead of {other}"));
                }
                // PostgREST refuses a PUT without the whole key before it asks the database.
                if answer.status == 403 || answer.status == 405 { Ok(()) } else { Err(format!("not 403: {answer}")) }
            });
        }
    }
}
