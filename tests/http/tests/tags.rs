//! Tags: made by naming them in a record, filtered, renamed, merged, counted.

use std::thread;

use crm_http_tests::actor::{Actor, Organization, id_of};
use crm_http_tests::http::{Response, encode, text};
use crm_http_tests::team::refused;
use crm_http_tests::{admin, all, unique};
use serde_json::{Value, json};

fn contact(user: &Actor, name: &str, tags: &[&str]) -> Value {
    user.insert("contacts", &json!({ "last_name": name, "tags": tags }))
}

/// Names of the contacts with all of these tags.
#[track_caller]
fn tagged(user: &Actor, tags: &str) -> Vec<String> {
    let path = format!("/contacts?tags=cs.{}&order=last_name", encode(&format!("{{{tags}}}")));
    user.get(&path).expect(200).column("last_name")
}

fn rename(user: &Actor, old: &str, new: &str) -> Response {
    user.post("/rpc/rename_tag", &json!({ "old": old, "new": new }))
}

fn merge(user: &Actor, from: &[&str], into: &str) -> Response {
    user.post("/rpc/merge_tags", &json!({ "from": from, "into": into }))
}

#[track_caller]
fn names(user: &Actor) -> Vec<String> {
    user.get("/tags?order=name_key").expect(200).column("name")
}

/// A row of this tag by the administrator's eyes.
fn stored(organization: &Organization, name: &str) -> Value {
    admin::value(
        "select coalesce((select to_jsonb(t) from crm.tags as t where org_id = $1 and name = $2), 'null')",
        &[&organization.id, &name],
    )
}

#[test]
fn a_tag_is_made_by_naming_it_in_a_record() {
    let owner = Actor::register();
    let seller = Actor::member(&owner.organization, "sales");
    let one = contact(&seller, "One", &[" vip ", "Lead", "VIP", ""]);
    assert_eq!(one["tags"], json!(["Lead", "vip"]));
    let account = owner.insert("accounts", &json!({ "name": "Account", "tags": ["LEAD", "new"] }));
    assert_eq!(account["tags"], json!(["Lead", "new"]), "spelled as it was first");
    assert_eq!(names(&seller), ["Lead", "new", "vip"]);
    assert_eq!(contact(&seller, "None", &[])["tags"], json!([]));
}

#[test]
fn a_list_of_records_of_which_some_tell_no_tags_is_added() {
    let user = Actor::register();
    let rows = json!([{ "last_name": "A", "tags": ["x"] }, { "last_name": "B" }, { "last_name": "C", "tags": null }]);
    user.post("/contacts?columns=last_name,tags", &rows).expect(201);
    let csv = "last_name,tags\nD,\"{x,y}\"\nE,{}\nF,NULL\n";
    user.request("POST", "/contacts").body("text/csv", csv).send().expect(201);
    let rows = user.get("/contacts?select=last_name,tags&order=last_name").expect(200).rows();
    let tags: Vec<_> = rows.iter().map(|row| row["tags"].clone()).collect();
    assert_eq!(tags, [json!(["x"]), json!([]), json!([]), json!(["x", "y"]), json!([]), json!([])]);
}

#[test]
fn records_are_found_by_their_tags() {
    let user = Actor::register();
    contact(&user, "A", &["vip", "Key account"]);
    contact(&user, "B", &["vip"]);
    contact(&user, "C", &[]);
    assert_eq!(tagged(&user, "vip"), ["A", "B"]);
    assert_eq!(tagged(&user, "vip,Key account"), ["A"]);
    assert_eq!(tagged(&user, "nothing"), [""; 0]);
    let any = user.get("/contacts?tags=ov.{Key%20account,nothing}").expect(200).column("last_name");
    assert_eq!(any, ["A"]);
    let none = user.get("/contacts?tags=eq.{}").expect(200).column("last_name");
    assert_eq!(none, ["C"]);
    let without = user.get("/contacts?tags=not.cs.{vip}").expect(200).column("last_name");
    assert_eq!(without, ["C"]);
}

#[test]
fn what_is_no_tag_is_refused_naming_the_column() {
    let owner = Actor::register();
    contact(&owner, "Good", &["good"]);
    let long = "x".repeat(51);
    all(["a,b", "{a", "a}", "\"a\"", "a\\b", "null", "a\nb", &long], |tag| {
        for (answer, column) in [
            (owner.post("/contacts", &json!({ "last_name": "Bad", "tags": ["good", tag] })), "tags"),
            (owner.patch("/contacts?last_name=eq.Good", &json!({ "tags": [tag] })), "tags"),
            (owner.post("/tags", &json!({ "name": tag })), "name"),
            (owner.patch("/tags?name=eq.good", &json!({ "name": tag })), "name"),
            (rename(&owner, "good", tag), "new"),
        ] {
            let fits = (answer.status, answer.code().as_str()) == (400, "22023")
                && text(&answer.json()["message"]).starts_with(&format!("{column}: "));
            if !fits {
                return Err(format!("400 22023 {column} expected: {answer}"));
            }
        }
        Ok(())
    });
    let many: Vec<_> = (0..51).map(|n| format!("t{n}")).collect();
    owner.post("/contacts", &json!({ "last_name": "Many", "tags": many })).expect(400);
    assert_eq!(names(&owner), ["good"], "what was refused made nothing");
}

#[test]
fn a_tag_has_a_colour_and_a_description() {
    let owner = Actor::register();
    contact(&owner, "One", &["vip"]);
    let vip = owner.patch("/tags?name=eq.vip", &json!({ "color": " #FFAA00 ", "description": "Be kind." }));
    let vip = vip.expect(200).rows().remove(0);
    assert_eq!((&vip["color"], &vip["description"]), (&json!("#ffaa00"), &json!("Be kind.")));
    owner.patch("/tags?name=eq.vip", &json!({ "color": "red" })).expect(400);
    let upsert = json!([{ "name": "VIP", "color": "#00ff00" }, { "name": "new", "color": "#0000ff" }]);
    owner
        .request("POST", "/tags?on_conflict=org_id,name_key&columns=name,color")
        .prefer("resolution=ignore-duplicates")
        .json(&upsert)
        .send()
        .expect(201);
    assert_eq!(names(&owner), ["new", "vip"], "the same in upper case");
    owner
        .request("POST", "/tags?on_conflict=org_id,name_key&columns=name,color")
        .prefer("resolution=merge-duplicates")
        .json(&json!([{ "name": "vip", "color": "#00ff00" }]))
        .send()
        .expect(200);
    assert_eq!(stored(&owner.organization, "vip")["color"], "#00ff00");
    owner.post("/tags", &json!({ "name": "VIP" })).expect(409);
}

#[test]
fn a_tag_is_renamed_in_all_records() {
    let owner = Actor::register();
    let [manager, seller] = ["manager", "sales"].map(|role| Actor::member(&owner.organization, role));
    contact(&owner, "A", &["old"]);
    contact(&seller, "B", &["a", "old"]);
    owner.insert("accounts", &json!({ "name": "C", "tags": ["old"] }));
    let renamed = rename(&manager, "OLD", "new").expect(200).json();
    assert_eq!(renamed["name"], "new");
    assert_eq!(tagged(&owner, "new"), ["A", "B"]);
    assert_eq!(owner.get("/accounts?tags=cs.{new}").expect(200).rows().len(), 1);
    assert_eq!(tagged(&owner, "old"), [""; 0]);
    // The row and the function are one way.
    manager.patch(&format!("/tags?id=eq.{}", id_of(&renamed)), &json!({ "name": "newer" })).expect(200);
    assert_eq!(tagged(&seller, "a,newer"), ["B"]);
}

#[test]
fn a_name_that_is_taken_is_refused_with_a_hint_to_merge() {
    let owner = Actor::register();
    contact(&owner, "A", &["one", "Two"]);
    let by_row = owner.patch("/tags?name=eq.one", &json!({ "name": "two" }));
    for answer in [rename(&owner, "one", "TWO"), by_row] {
        let answer = answer.expect(409).json();
        assert!(text(&answer["hint"]).contains("merge_tags"), "{answer}");
    }
    assert_eq!(tagged(&owner, "one,Two"), ["A"]);
    rename(&owner, "nothing", "x").expect(400);
}

#[test]
fn tags_are_merged() {
    let owner = Actor::register();
    for (name, tags) in [("A", &["vip"][..]), ("B", &["VIP customer", "vip"]), ("C", &["Key"]), ("D", &["x"])] {
        contact(&owner, name, tags);
    }
    let merged = merge(&owner, &["vip customer", "key"], "vip").expect(200).json();
    assert_eq!(merged, json!({ "name": "vip", "merged": 2, "records": 2 }));
    assert_eq!(tagged(&owner, "vip"), ["A", "B", "C"]);
    assert_eq!(names(&owner), ["vip", "x"]);
    merge(&owner, &["nothing"], "vip").expect(400);
    merge(&owner, &["x"], "nothing").expect(400);
    owner.get("/rpc/merge_tags?from={x}&into=vip").expect(405);
    owner.get("/rpc/rename_tag?old=x&new=y").expect(405);
}

#[test]
fn a_deleted_tag_is_taken_from_all_records() {
    let owner = Actor::register();
    contact(&owner, "A", &["keep", "vip"]);
    owner.delete("/tags?name=eq.vip").expect(200);
    assert_eq!(owner.get("/contacts").expect(200).rows()[0]["tags"], json!(["keep"]));
    assert_eq!(names(&owner), ["keep"]);
}

#[test]
fn everybody_counts_the_records_they_may_read() {
    let owner = Actor::register();
    let seller = Actor::member(&owner.organization, "sales");
    contact(&owner, "A", &["vip"]);
    contact(&seller, "B", &["vip", "new"]);
    owner.insert("accounts", &json!({ "name": "C", "tags": ["vip"] }));
    owner.patch("/tags?name=eq.vip", &json!({ "color": "#00ff00" })).expect(200);
    let of = |user: &Actor| user.get("/rpc/tag_counts").expect(200).json();
    assert_eq!(
        of(&owner),
        json!([
            { "name": "new", "color": null, "entity": "contacts", "count": 1 },
            { "name": "vip", "color": "#00ff00", "entity": "accounts", "count": 1 },
            { "name": "vip", "color": "#00ff00", "entity": "contacts", "count": 2 },
        ])
    );
    assert_eq!(
        of(&seller),
        json!([
            { "name": "new", "color": null, "entity": "contacts", "count": 1 },
            { "name": "vip", "color": "#00ff00", "entity": "contacts", "count": 1 },
        ])
    );
    assert_eq!(of(&Actor::register()), json!([]));
}

#[test]
fn who_may_not_administer_tags_is_refused() {
    let owner = Actor::register();
    contact(&owner, "A", &["one", "two"]);
    let before = admin::fingerprint(owner.organization.id);
    for role in ["sales", "support", "read_only", "manager"] {
        let member = Actor::member(&owner.organization, role);
        let before = admin::fingerprint(owner.organization.id);
        let mut denied = vec![merge(&member, &["one"], "two"), member.delete("/tags?name=eq.one")];
        if role != "manager" {
            denied.extend([
                rename(&member, "one", "three"),
                rename(&member, "nothing", "three"),
                member.patch("/tags?name=eq.one", &json!({ "name": "three" })),
                member.post("/tags", &json!({ "name": "three" })),
            ]);
        }
        for answer in denied {
            refused(&answer).unwrap_or_else(|problem| panic!("{role}: {problem}"));
        }
        assert_eq!(admin::fingerprint(owner.organization.id), before, "{role}");
    }
    assert_ne!(before, "");
}

#[test]
fn the_other_tenants_tags_are_out_of_reach() {
    let [ann, bob] = [(); 2].map(|()| Actor::register());
    let tag = unique("tag");
    contact(&ann, "A", &[&tag, "shared"]);
    contact(&bob, "B", &["shared"]);
    let before = admin::fingerprint(ann.organization.id);
    let id = text(&stored(&ann.organization, &tag)["id"]);
    assert_eq!(names(&bob), ["shared"]);
    bob.post("/tags", &json!({ "name": "x", "org_id": ann.organization.id })).expect(403);
    bob.post("/contacts", &json!({ "last_name": "x", "tags": [tag], "org_id": ann.organization.id })).expect(403);
    assert_eq!(bob.patch(&format!("/tags?id=eq.{id}"), &json!({ "name": "stolen" })).expect(200).rows().len(), 0);
    assert_eq!(bob.delete(&format!("/tags?id=eq.{id}")).expect(200).rows().len(), 0);
    let unknown = rename(&bob, &tag, "stolen").expect(400).json();
    let nowhere = unique("tag");
    let expected = unknown.to_string().replace(&tag, &nowhere);
    assert_eq!(
        rename(&bob, &nowhere, "stolen").expect(400).json().to_string(),
        expected,
        "the same answer as for none"
    );
    merge(&bob, &[&tag], "shared").expect(400);
    rename(&bob, "shared", "theirs").expect(200);
    bob.delete("/tags?name=eq.theirs").expect(200);
    assert_eq!(admin::fingerprint(ann.organization.id), before);
}

#[test]
fn a_record_that_is_tagged_while_the_tag_is_renamed_does_not_keep_the_old_name() {
    let owner = Actor::register();
    contact(&owner, "First", &["name 0"]);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..60 {
                contact(&owner, &format!("C{n}"), &["name 0"]);
            }
        });
        for n in 0..20 {
            rename(&owner, &format!("name {n}"), &format!("name {}", n + 1)).expect(200);
        }
        writer.join().unwrap();
    });
    // Whoever named it afterwards has made it anew: every record has a tag that there is.
    let lost: i64 = admin::value(
        "select count(*) from crm.contacts as c, unnest(c.tags) as tag
         where c.org_id = $1 and not exists (select from crm.tags as t where t.org_id = c.org_id and t.name = tag)",
        &[&owner.organization.id],
    );
    assert_eq!(lost, 0);
    let untagged: i64 = admin::value(
        "select count(*) from crm.contacts where org_id = $1 and cardinality(tags) <> 1",
        &[&owner.organization.id],
    );
    assert_eq!(untagged, 0);
}
