"""The index of things: searched, added up, and as dynamic groups."""

from cloud import OPEN_POLICY, arn, client, everything, refused

iot = client()
on = {"thingIndexingMode": "REGISTRY", "customFields": [{"name": "attributes.temp", "type": "Number"}, {"name": "attributes.city", "type": "String"}]}


def find(query, **members):
    return [thing["thingName"] for thing in iot.search_index(queryString=query, **members)["things"]]


# Off at first.
off = iot.get_indexing_configuration()
assert off["thingIndexingConfiguration"]["thingIndexingMode"] == "OFF" and "managedFields" not in off["thingIndexingConfiguration"]
assert iot.list_indices()["indexNames"] == []
refused("ResourceNotFoundException", iot.describe_index, indexName="AWS_Things")
refused("IndexNotReadyException", iot.search_index, "UpdateIndexingConfiguration", queryString="*")
refused("InvalidRequestException", iot.create_dynamic_thing_group, "UpdateIndexingConfiguration", thingGroupName="warm", queryString="attributes.temp>60")

# Some things before it is on, some after.
iot.create_thing_type(thingTypeName="lamp")
iot.create_billing_group(billingGroupName="City")
iot.create_thing_group(thingGroupName="Hall")
temps = {"lamp-1": "75", "lamp-2": "80.5", "Door": "-5"}


def make(name, **members):
    payload = {"attributes": {"temp": temps[name], "city": "Ulm" if name != "lamp-2" else "Aalen"}}
    return iot.create_thing(thingName=name, attributePayload=payload, **members)


first = make("lamp-1", thingTypeName="lamp", billingGroupName="City")
for members in (
    {"thingIndexingMode": "ALL"},
    {"thingIndexingMode": "REGISTRY_AND_SHADOW"},
    {"thingIndexingMode": "REGISTRY", "thingConnectivityIndexingMode": "STATUS"},
    {"thingIndexingMode": "REGISTRY", "namedShadowIndexingMode": "ON"},
    {"thingIndexingMode": "REGISTRY", "customFields": [{"name": "shadow.x", "type": "Number"}]},
    {"thingIndexingMode": "REGISTRY", "customFields": [{"name": "attributes.x", "type": "Date"}]},
    {"thingIndexingMode": "REGISTRY", "customFields": [{"name": f"attributes.{n}"} for n in range(6)]},
    {},
):
    refused("InvalidRequestException", iot.update_indexing_configuration, thingIndexingConfiguration=members)
refused("InvalidRequestException", iot.update_indexing_configuration, thingGroupIndexingConfiguration={"thingGroupIndexingMode": "ON"})
iot.update_indexing_configuration(thingIndexingConfiguration=on)
found = iot.get_indexing_configuration()["thingIndexingConfiguration"]
assert found["thingIndexingMode"] == "REGISTRY" and found["customFields"] == on["customFields"]
assert {"name": "thingName", "type": "String"} in found["managedFields"]
described = iot.describe_index(indexName="AWS_Things")
assert (described["indexStatus"], described["schema"]) == ("ACTIVE", "REGISTRY")
assert iot.list_indices()["indexNames"] == ["AWS_Things"]
make("lamp-2", thingTypeName="lamp")
make("Door")
iot.add_thing_to_thing_group(thingGroupName="Hall", thingName="Door")

# Searched.
(one,) = iot.search_index(queryString="thingName:LAMP-1")["things"]
assert one == {
    "thingName": "lamp-1",
    "thingId": first["thingId"],
    "thingTypeName": "lamp",
    "thingGroupNames": ["City"],
    "attributes": {"temp": "75", "city": "Ulm"},
}, one
for query, names in (
    ("*", ["lamp-1", "lamp-2", "Door"]),
    ("thingName:lamp*", ["lamp-1", "lamp-2"]),
    ("thingTypeName:lamp AND attributes.city:ulm", ["lamp-1"]),
    ("attributes.temp:[75 TO 80]", ["lamp-1"]),
    ("attributes.temp>75 OR thingGroupNames:hall", ["lamp-2", "Door"]),
    ("NOT (thingName:lamp-1 OR thingName:door)", ["lamp-2"]),
    ("thingGroupNames:city", ["lamp-1"]),
    ("aalen", ["lamp-2"]),
    ("foo:bar", []),
):
    assert find(query) == names, (query, find(query))
page = iot.search_index(queryString="*", maxResults=2)
assert len(page["things"]) == 2
assert [thing["thingName"] for thing in iot.search_index(queryString="*", maxResults=2, nextToken=page["nextToken"])["things"]] == ["Door"]
for query in ("", " ", "thingName:", "(a", "a AND", "*x", " OR ".join("abcdefghijklm")):
    refused("InvalidQueryException", iot.search_index, queryString=query)
refused("InvalidQueryException", iot.search_index, queryString="*", queryVersion="2000-01-01")
refused("ResourceNotFoundException", iot.search_index, queryString="*", indexName="AWS_Other")
refused("InvalidRequestException", iot.search_index, queryString="*", maxResults=501)
refused("InvalidRequestException", iot.search_index, queryString="*", nextToken="made up")
refused("InvalidRequestException", iot.search_index)

# Added up.
statistics = iot.get_statistics(queryString="*", aggregationField="attributes.temp")["statistics"]
assert statistics["count"] == 3 and statistics["maximum"] == 80.5 and statistics["sum"] == 150.5
assert iot.get_statistics(queryString="thingTypeName:lamp")["statistics"]["count"] == 2
assert iot.get_statistics(queryString="*", aggregationField="attributes.city")["statistics"] == {"count": 3}
assert iot.get_cardinality(queryString="*", aggregationField="attributes.city")["cardinality"] == 2
assert iot.get_percentiles(queryString="*", aggregationField="attributes.temp", percents=[50])["percentiles"] == [{"percent": 50.0, "value": 75.0}]
buckets = {"bucketsAggregationType": {"termsAggregation": {"maxBuckets": 1}}}
counted = iot.get_buckets_aggregation(queryString="*", aggregationField="attributes.city", **buckets)
assert (counted["totalCount"], counted["buckets"]) == (3, [{"keyValue": "ulm", "count": 2}])
refused("InvalidAggregationException", iot.get_statistics, "customFields", queryString="*", aggregationField="attributes.none")
refused("InvalidAggregationException", iot.get_percentiles, queryString="*", aggregationField="attributes.city")
refused("InvalidAggregationException", iot.get_percentiles, queryString="*", aggregationField="attributes.temp", percents=[101])
refused("InvalidAggregationException", iot.get_buckets_aggregation, queryString="*", aggregationField="attributes.city", bucketsAggregationType={"termsAggregation": {"maxBuckets": 0}})
refused("InvalidQueryException", iot.get_cardinality, queryString="(", aggregationField="attributes.city")
refused("ResourceNotFoundException", iot.get_statistics, queryString="*", indexName="x")

# Groups of what a query finds.
warm = {"thingGroupName": "warm", "queryString": "attributes.temp>60"}
made = iot.create_dynamic_thing_group(**warm, thingGroupProperties={"thingGroupDescription": "too warm"}, tags=[{"Key": "k", "Value": "v"}])
assert made["thingGroupArn"] == arn("thinggroup", "warm") and made["indexName"] == "AWS_Things" and made["queryVersion"] == "2017-09-30"
again = iot.create_dynamic_thing_group(**warm, thingGroupProperties={"thingGroupDescription": "too warm"})
assert again["thingGroupId"] == made["thingGroupId"]
described = iot.describe_thing_group(thingGroupName="warm")
assert (described["queryString"], described["status"], described["version"]) == ("attributes.temp>60", "ACTIVE", 1)
assert "status" not in iot.describe_thing_group(thingGroupName="Hall")
members = lambda group="warm": everything(iot.list_things_in_thing_group, "things", thingGroupName=group)
groups_of = lambda thing: [group["groupName"] for group in everything(iot.list_thing_groups_for_thing, "thingGroups", thingName=thing)]
assert members() == ["lamp-1", "lamp-2"] and groups_of("lamp-1") == ["warm"] and groups_of("Door") == ["Hall"]
iot.update_thing(thingName="Door", attributePayload={"attributes": {"temp": "61"}, "merge": True})
iot.update_thing(thingName="lamp-1", attributePayload={"attributes": {"temp": "59"}, "merge": True})
assert members() == ["lamp-2", "Door"] and groups_of("Door") == ["Hall", "warm"] and groups_of("lamp-1") == []
assert iot.update_dynamic_thing_group(thingGroupName="warm", thingGroupProperties={}, queryString="attributes.temp<60", expectedVersion=1)["version"] == 2
assert members() == ["lamp-1"]
iot.delete_thing(thingName="lamp-1")
assert members() == [] and find("attributes.temp:59") == []
assert [group["groupName"] for group in iot.list_thing_groups()["thingGroups"]] == ["Hall", "warm"]

refused("ResourceAlreadyExistsException", iot.create_dynamic_thing_group, thingGroupName="warm", queryString="*")
refused("ResourceAlreadyExistsException", iot.create_dynamic_thing_group, thingGroupName="Hall", queryString="*")
refused("InvalidQueryException", iot.create_dynamic_thing_group, thingGroupName="x", queryString="(")
refused("InvalidRequestException", iot.create_dynamic_thing_group, thingGroupName="x")
refused("InvalidQueryException", iot.update_dynamic_thing_group, thingGroupName="warm", thingGroupProperties={}, queryString="(")
refused("VersionConflictException", iot.update_dynamic_thing_group, thingGroupName="warm", thingGroupProperties={}, expectedVersion=1)
refused("VersionConflictException", iot.delete_dynamic_thing_group, thingGroupName="warm", expectedVersion=1)
refused("ResourceNotFoundException", iot.update_dynamic_thing_group, thingGroupName="none", thingGroupProperties={})
refused("InvalidRequestException", iot.update_dynamic_thing_group, thingGroupName="Hall", thingGroupProperties={})
refused("InvalidRequestException", iot.delete_dynamic_thing_group, thingGroupName="Hall")
iot.create_policy(policyName="open", policyDocument=OPEN_POLICY)
for call, members_of_call in (
    (iot.add_thing_to_thing_group, {"thingGroupName": "warm", "thingName": "Door"}),
    (iot.remove_thing_from_thing_group, {"thingGroupName": "warm", "thingName": "Door"}),
    (iot.create_thing_group, {"thingGroupName": "below", "parentGroupName": "warm"}),
    (iot.update_thing_group, {"thingGroupName": "warm", "thingGroupProperties": {}}),
    (iot.delete_thing_group, {"thingGroupName": "warm"}),
    (iot.attach_policy, {"policyName": "open", "target": arn("thinggroup", "warm")}),
):
    refused("InvalidRequestException", call, "dynamic", **members_of_call)
refused("InvalidRequestException", iot.update_indexing_configuration, "dynamic", thingIndexingConfiguration={"thingIndexingMode": "OFF"})
for _ in range(2):
    iot.delete_dynamic_thing_group(thingGroupName="warm")
refused("ResourceNotFoundException", iot.describe_thing_group, thingGroupName="warm")

# Off again.
iot.update_indexing_configuration(thingIndexingConfiguration={"thingIndexingMode": "OFF"})
refused("IndexNotReadyException", iot.search_index, queryString="*")
