//! The query language: what is found, what is not, what cannot be understood, and that a plan never overlooks anything.
#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as the tests do")]

mod fixtures;

use std::collections::BTreeMap;

use fixtures::NOW;
use fleet::Exception;
use fleet::names::{BillingGroupName, GroupName, ThingTypeName};
use fleet::record::{Thing, Uuid};
use fleet::search::{
    Document, Plan, Query, ThingRef, buckets, cardinality, check_percents, check_target, index_rows, numbers,
    percentiles, statistics,
};

struct Known {
    thing: Thing,
    groups: Vec<GroupName>,
}

fn known(name: &str, kind: &str, groups: &[&str], attributes: &[(&str, &str)]) -> Known {
    Known {
        thing: Thing {
            name: name.parse().unwrap(),
            id: Uuid([7; 16]),
            type_name: (!kind.is_empty()).then(|| ThingTypeName::parse(kind).unwrap()),
            billing_group: (name == "Lamp-1").then(|| BillingGroupName::parse("City").unwrap()),
            attributes: attributes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            version: 3,
            born_under: None,
            simulated: false,
            created: NOW,
            modified: NOW,
        },
        groups: groups
            .iter()
            .map(|name| GroupName::parse(name).unwrap())
            .collect(),
    }
}

fn fleet() -> [Known; 4] {
    [
        known(
            "Lamp-1",
            "lamp",
            &["Hall"],
            &[("temp", "75"), ("city", "Ulm"), ("model", "1.2")],
        ),
        known(
            "lamp-2",
            "lamp",
            &["hall", "roof"],
            &[("temp", "80.5"), ("city", "Aalen")],
        ),
        known(
            "door",
            "Door",
            &[],
            &[("temp", "-5"), ("serial", "abce"), ("a.b", "x:y")],
        ),
        known("abc", "", &[], &[("city", "ulm"), ("note", "AND")]),
    ]
}

fn found(text: &str) -> Vec<String> {
    let query = Query::parse(text).unwrap_or_else(|refusal| panic!("{text}: {}", refusal.message()));
    let plan = query.plan();
    let mut names = Vec::new();
    for Known { thing, groups } in &fleet() {
        let is_found = query.admits(&Document { thing, groups });
        assert!(
            !is_found || looks_at(&plan, thing, groups),
            "{text}: {plan:?} overlooks {}",
            thing.name
        );
        if is_found {
            names.push(thing.name.as_str().to_owned());
        }
    }
    names
}

/// Whether somebody who follows the plan comes by this thing.
fn looks_at(plan: &Plan, thing: &Thing, groups: &[GroupName]) -> bool {
    let id = thing.id.to_string();
    let rows = index_rows(ThingRef {
        name: thing.name.as_str(),
        id: &id,
        type_name: thing.type_name.as_ref().map(|name| name.as_str()),
        billing_group: thing.billing_group.as_ref().map(|name| name.as_str()),
        attributes: &thing.attributes,
    });
    match plan {
        Plan::Everything => true,
        Plan::Nowhere => false,
        Plan::Exact { field, value } => rows.iter().any(|(name, found)| name == field && found == value),
        Plan::Prefix { field, prefix } => rows
            .iter()
            .any(|(name, found)| name == field && found.starts_with(prefix.as_str())),
        Plan::Group(name) => {
            let billed = thing.billing_group.as_ref().map(|name| name.as_str());
            let mut names = groups.iter().map(|name| name.as_str()).chain(billed);
            names.any(|group| group.eq_ignore_ascii_case(name))
        }
        Plan::Either(plans) => plans.iter().any(|plan| looks_at(plan, thing, groups)),
    }
}

#[test]
fn queries_find_what_they_say() {
    let rows: [(&str, &[&str]); 52] = [
        ("*", &["Lamp-1", "lamp-2", "door", "abc"]),
        ("* AND *", &["Lamp-1", "lamp-2", "door", "abc"]),
        ("abc", &["abc"]),
        ("ulm", &["Lamp-1", "abc"]),
        ("thingName:lamp-1", &["Lamp-1"]),
        ("thingName : lamp-1", &["Lamp-1"]),
        ("thingname:lamp-1", &[]),
        ("thingName:lamp*", &["Lamp-1", "lamp-2"]),
        ("thingName:l*p-?", &["Lamp-1", "lamp-2"]),
        ("thingName:lam?", &[]),
        ("thingName:\"lamp-1\"", &["Lamp-1"]),
        ("thingName:\"lamp*\"", &[]),
        (r"thingName:lamp\-1", &["Lamp-1"]),
        (r"thingName:lamp\*", &[]),
        ("thingId:07070707-0707-4707-8707-070707070707", &[]),
        ("thingTypeName:DOOR", &["door"]),
        ("thingTypeName:*", &["Lamp-1", "lamp-2", "door"]),
        ("registry.thingTypeName:lamp", &["Lamp-1", "lamp-2"]),
        ("registry.version:3", &["Lamp-1", "lamp-2", "door", "abc"]),
        ("registry.version>3", &[]),
        ("thingGroupNames:HALL", &["Lamp-1", "lamp-2"]),
        ("thingGroupNames:city", &["Lamp-1"]),
        ("thingGroupNames:ro*", &["lamp-2"]),
        ("NOT thingGroupNames:*", &["door", "abc"]),
        ("billingGroupName:city", &["Lamp-1"]),
        ("attributes.temp:75", &["Lamp-1"]),
        ("attributes.temp:75.0", &["Lamp-1"]),
        ("attributes.temp:-5", &["door"]),
        ("attributes.temp:[75 TO 80]", &["Lamp-1"]),
        ("attributes.temp:{75 TO 81]", &["lamp-2"]),
        ("attributes.temp:[-10 TO 75}", &["door"]),
        ("attributes.temp:[* TO 75]", &["Lamp-1", "door"]),
        ("attributes.temp:[* TO *]", &["Lamp-1", "lamp-2", "door"]),
        ("attributes.temp>75", &["lamp-2"]),
        ("attributes.temp >= 75", &["Lamp-1", "lamp-2"]),
        ("attributes.temp<-4", &["door"]),
        ("attributes.temp:<=75", &["Lamp-1", "door"]),
        ("attributes.serial:[\"abcd\" TO \"abcf\"]", &["door"]),
        ("attributes.serial:{\"abce\" TO \"abcf\"]", &[]),
        ("attributes.a.b:x\\:y", &["door"]),
        ("attributes.note:\"AND\"", &["abc"]),
        ("attributes.none:*", &[]),
        ("foo:bar", &[]),
        ("attributes.:x", &[]),
        ("thingTypeName:lamp attributes.city:ulm", &["Lamp-1"]),
        ("thingTypeName:lamp AND NOT attributes.city:ulm", &["lamp-2"]),
        ("thingTypeName:lamp -attributes.city:ulm", &["lamp-2"]),
        ("thingName:(lamp* AND -lamp-2)", &["Lamp-1"]),
        ("thingName:(door OR abc)", &["door", "abc"]),
        (
            "thingTypeName:door OR thingTypeName:lamp AND attributes.city:ulm",
            &["Lamp-1", "door"],
        ),
        (
            "(thingTypeName:door OR thingTypeName:lamp) AND attributes.city:ulm",
            &["Lamp-1"],
        ),
        ("-(thingGroupNames:hall OR thingName:door)", &["abc"]),
    ];
    for (query, expected) in rows {
        assert_eq!(found(query), expected, "{query}");
    }
}

#[test]
fn what_cannot_be_understood_is_refused() {
    let deep = format!("{}a{}", "(".repeat(20), ")".repeat(20));
    let nots = "NOT ".repeat(20) + "a";
    let many = vec!["a"; 13].join(" OR ");
    let long = "a".repeat(1001);
    for bad in [
        "",
        "  ",
        "AND",
        "NOT",
        "a AND",
        "a OR",
        "OR a",
        "AND a",
        "a AND OR b",
        "NOT AND a",
        "a OR NOT",
        "(a",
        "a)",
        ")a",
        "()",
        "a:",
        "a:b:c",
        ":a",
        "a:(b",
        "thingName:*x",
        "?x",
        "a:x*y*z*",
        "a:[1 TO 2",
        "a:[1 2]",
        "a:[1 TO]",
        "[1 TO 2]",
        "<5",
        "a<",
        "a<*",
        "\"a",
        "a\\",
        "a:(b:c)",
        "a:-",
        &deep,
        &nots,
        &many,
        &long,
    ] {
        let refusal = Query::parse(bad).expect_err(bad);
        assert_eq!(refusal.exception(), Exception::InvalidQuery, "{bad}");
    }
    let twelve = ["a"; 12].join(" OR ");
    assert!(Query::parse(&twelve).is_ok() && Query::parse(&"a".repeat(1000)).is_ok());
}

#[test]
fn plans_look_at_few_places() {
    let plan = |text: &str| Query::parse(text).unwrap().plan();
    let exact = |field: &str, value: &str| Plan::Exact {
        field: field.to_owned(),
        value: value.to_owned(),
    };
    assert_eq!(plan("thingName:Lamp-1"), exact("thingName", "lamp-1"));
    assert_eq!(
        plan("thingName:l* AND attributes.city:ulm"),
        exact("attributes.city", "ulm")
    );
    assert_eq!(
        plan("NOT thingName:a attributes.city:ulm"),
        exact("attributes.city", "ulm")
    );
    assert_eq!(plan("foo:bar AND thingName:a"), Plan::Nowhere);
    assert_eq!(plan("foo:bar OR thingName:a"), exact("thingName", "a"));
    assert_eq!(plan("thingName:a OR *"), Plan::Everything);
    assert_eq!(plan("lamp"), Plan::Everything);
}

#[test]
fn only_one_index_and_one_version_are_known() {
    assert!(check_target(None, None).is_ok() && check_target(Some("AWS_Things"), Some("2017-09-30")).is_ok());
    assert_eq!(
        check_target(Some("x"), None).unwrap_err().exception(),
        Exception::ResourceNotFound
    );
    assert_eq!(
        check_target(None, Some("x")).unwrap_err().exception(),
        Exception::InvalidQuery
    );
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn values_are_counted_and_summed() {
    let values = texts(&["1", "2", "3", "4", "x", "X"]);
    let numbers = numbers(&values);
    let sum = statistics(&numbers).unwrap();
    assert_eq!(
        (sum.count, sum.sum, sum.minimum, sum.maximum),
        (4, 10.0, 1.0, 4.0)
    );
    assert_eq!(
        (sum.average(), sum.variance(), sum.sum_of_squares),
        (2.5, 1.25, 30.0)
    );
    assert_eq!(sum.deviation(), 1.25_f64.sqrt());
    assert!(statistics(&[]).is_none());
    assert_eq!(cardinality(&values), 5);
    assert_eq!(
        percentiles(numbers, &[0.0, 50.0, 100.0]),
        [(0.0, 1.0), (50.0, 2.5), (100.0, 4.0)]
    );
    assert!(percentiles(Vec::new(), &[50.0]).is_empty());
    let counted = buckets(&values, Some(1)).unwrap();
    assert_eq!(
        (counted.len(), counted[0].value.as_str(), counted[0].count),
        (1, "x", 2)
    );
    assert!(buckets(&values, Some(0)).is_err() && buckets(&values, Some(10_001)).is_err());
    assert_eq!(check_percents(Vec::new()).unwrap().len(), 7);
    assert!(check_percents(vec![100.0]).is_ok() && check_percents(vec![100.1]).is_err());
}

#[test]
fn patterns_take_no_longer_for_being_nasty() {
    let attributes: BTreeMap<String, String> = [("a".to_owned(), "a".repeat(800))].into();
    let mut thing = known("x", "", &[], &[]).thing;
    thing.attributes = attributes;
    let query = Query::parse(r"attributes.a:a*a*").unwrap();
    assert!(query.admits(&Document {
        thing: &thing,
        groups: &[]
    }));
    let query = Query::parse("attributes.a:a*b").unwrap();
    assert!(!query.admits(&Document {
        thing: &thing,
        groups: &[]
    }));
}
