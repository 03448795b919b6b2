//! Every operation that is served, one row each.
//!
//! Names, paths and members are those of the AWS IoT API reference. Rows of the same method whose paths can match the same
//! request do not exist: a test holds the table to that.

use core::future::Future;
use core::pin::Pin;

use super::fault::ApiFault;
use super::operation::{Input, Member, Operation, PAYLOAD, flag, header, number, query};
use super::render::Answer;
use super::{
    Request, authorities, authorization, authorizers, billing_groups, certificates, claims, connections,
    direct, domain_configurations, dynamic_groups, event_configurations, groups, manifests, moving, own,
    own_keys, policies, publish, register_thing, retained, role_aliases, search, tagging, tasks, templates,
    thing_types, things, transfers,
};

/// What an operation's row calls.
pub(super) type Handler =
    for<'a> fn(&'a Request<'a>, Input) -> Pin<Box<dyn Future<Output = Result<Answer, ApiFault>> + 'a>>;

macro_rules! row {
    ($name:literal, $method:literal $path:literal, $members:expr, $handler:path) => {
        Operation {
            name: $name,
            method: $method,
            path: $path,
            members: &$members,
            handler: |request, input| Box::pin($handler(request, input)),
        }
    };
}

const NONE: [Member; 0] = [];
const PAGE: [Member; 3] = [number("pageSize"), query("marker"), flag("isAscendingOrder")];
const RESULTS: [Member; 2] = [number("maxResults"), query("nextToken")];
const PRINCIPAL: Member = header("x-amzn-principal", "principal");
const IOT_PRINCIPAL: Member = header("x-amzn-iot-principal", "principal");
const POLICY: Member = header("x-amzn-iot-policy", "policyName");
const USER_PROPERTIES: Member = header("x-amz-mqtt5-user-properties", "userProperties");
const PAYLOAD_FORMAT: Member = header("x-amz-mqtt5-payload-format-indicator", "payloadFormatIndicator");
const CORRELATION: Member = header("x-amz-mqtt5-correlation-data", "correlationData");
const PRINCIPAL_TYPE: Member = query("thingPrincipalType");

/// The table.
pub(super) static TABLE: &[Operation<Handler>] = &[
    row!("GetRegistrationCode", "GET" "/registrationcode", NONE, authorities::registration_code),
    row!("DeleteRegistrationCode", "DELETE" "/registrationcode", NONE, authorities::delete_registration_code),
    row!("RegisterCACertificate", "POST" "/cacertificate", [flag("setAsActive"), flag("allowAutoRegistration")], authorities::register),
    row!("DescribeCACertificate", "GET" "/cacertificate/{caCertificateId}", NONE, authorities::describe),
    row!("UpdateCACertificate", "PUT" "/cacertificate/{caCertificateId}", [query("newStatus"), query("newAutoRegistrationStatus")], authorities::update),
    row!("DeleteCACertificate", "DELETE" "/cacertificate/{caCertificateId}", NONE, authorities::delete),
    row!("ListCACertificates", "GET" "/cacertificates", [number("pageSize"), query("marker"), flag("isAscendingOrder"), query("templateName")], authorities::list),
    row!("ListCertificatesByCA", "GET" "/certificates-by-ca/{caCertificateId}", PAGE, certificates::list),
    row!("DescribeEndpoint", "GET" "/endpoint", [query("endpointType")], authorities::describe_endpoint),
    row!("CreateKeysAndCertificate", "POST" "/keys-and-certificate", [flag("setAsActive")], certificates::create_keys),
    row!("CreateCertificateFromCsr", "POST" "/certificates", [flag("setAsActive")], certificates::create_from_csr),
    row!("RegisterCertificate", "POST" "/certificate/register", [flag("setAsActive")], certificates::register),
    row!("RegisterCertificateWithoutCA", "POST" "/certificate/register-no-ca", NONE, certificates::register_without_ca),
    row!("DescribeCertificate", "GET" "/certificates/{certificateId}", NONE, certificates::describe),
    row!("UpdateCertificate", "PUT" "/certificates/{certificateId}", [query("newStatus")], certificates::update),
    row!("DeleteCertificate", "DELETE" "/certificates/{certificateId}", [flag("forceDelete")], certificates::delete),
    row!("ListCertificates", "GET" "/certificates", PAGE, certificates::list),
    row!("TransferCertificate", "PATCH" "/transfer-certificate/{certificateId}", [query("targetAwsAccount")], transfers::begin),
    row!("AcceptCertificateTransfer", "PATCH" "/accept-certificate-transfer/{certificateId}", [flag("setAsActive")], transfers::accept),
    row!("RejectCertificateTransfer", "PATCH" "/reject-certificate-transfer/{certificateId}", NONE, transfers::reject),
    row!("CancelCertificateTransfer", "PATCH" "/cancel-certificate-transfer/{certificateId}", NONE, transfers::cancel),
    row!("ListOutgoingCertificates", "GET" "/certificates-out-going", PAGE, transfers::list),
    row!("CreateThing", "POST" "/things/{thingName}", NONE, things::create),
    row!("DescribeThing", "GET" "/things/{thingName}", NONE, things::describe),
    row!("UpdateThing", "PATCH" "/things/{thingName}", NONE, things::update),
    row!("DeleteThing", "DELETE" "/things/{thingName}", [number("expectedVersion")], things::delete),
    row!("ListThings", "GET" "/things", [number("maxResults"), query("nextToken"), query("attributeName"), query("attributeValue"), query("thingTypeName"), flag("usePrefixAttributeValue")], things::list),
    row!("AttachThingPrincipal", "PUT" "/things/{thingName}/principals", [PRINCIPAL, PRINCIPAL_TYPE], things::attach),
    row!("DetachThingPrincipal", "DELETE" "/things/{thingName}/principals", [PRINCIPAL], things::detach),
    row!("ListThingPrincipals", "GET" "/things/{thingName}/principals", RESULTS, things::principals),
    row!("ListThingPrincipalsV2", "GET" "/things/{thingName}/principals-v2", [number("maxResults"), query("nextToken"), PRINCIPAL_TYPE], things::principals_v2),
    row!("ListPrincipalThings", "GET" "/principals/things", [number("maxResults"), query("nextToken"), PRINCIPAL], things::things_of),
    row!("ListPrincipalThingsV2", "GET" "/principals/things-v2", [number("maxResults"), query("nextToken"), PRINCIPAL, PRINCIPAL_TYPE], things::things_of_v2),
    row!("CreateThingGroup", "POST" "/thing-groups/{thingGroupName}", NONE, groups::create),
    row!("DescribeThingGroup", "GET" "/thing-groups/{thingGroupName}", NONE, groups::describe),
    row!("UpdateThingGroup", "PATCH" "/thing-groups/{thingGroupName}", NONE, groups::update),
    row!("DeleteThingGroup", "DELETE" "/thing-groups/{thingGroupName}", [number("expectedVersion")], groups::delete),
    row!("ListThingGroups", "GET" "/thing-groups", [number("maxResults"), query("nextToken"), query("parentGroup"), query("namePrefixFilter"), flag("recursive")], groups::list),
    row!("AddThingToThingGroup", "PUT" "/thing-groups/addThingToThingGroup", NONE, groups::add),
    row!("RemoveThingFromThingGroup", "PUT" "/thing-groups/removeThingFromThingGroup", NONE, groups::remove),
    row!("UpdateThingGroupsForThing", "PUT" "/thing-groups/updateThingGroupsForThing", NONE, groups::change_groups),
    row!("ListThingsInThingGroup", "GET" "/thing-groups/{thingGroupName}/things", [number("maxResults"), query("nextToken"), flag("recursive")], groups::things),
    row!("ListThingGroupsForThing", "GET" "/things/{thingName}/thing-groups", RESULTS, groups::groups_of),
    row!("CreateThingType", "POST" "/thing-types/{thingTypeName}", NONE, thing_types::create),
    row!("DescribeThingType", "GET" "/thing-types/{thingTypeName}", NONE, thing_types::describe),
    row!("UpdateThingType", "PATCH" "/thing-types/{thingTypeName}", NONE, thing_types::update),
    row!("DeprecateThingType", "POST" "/thing-types/{thingTypeName}/deprecate", NONE, thing_types::deprecate),
    row!("DeleteThingType", "DELETE" "/thing-types/{thingTypeName}", NONE, thing_types::delete),
    row!("ListThingTypes", "GET" "/thing-types", [number("maxResults"), query("nextToken"), query("thingTypeName")], thing_types::list),
    row!("CreateBillingGroup", "POST" "/billing-groups/{billingGroupName}", NONE, billing_groups::create),
    row!("DescribeBillingGroup", "GET" "/billing-groups/{billingGroupName}", NONE, billing_groups::describe),
    row!("UpdateBillingGroup", "PATCH" "/billing-groups/{billingGroupName}", NONE, billing_groups::update),
    row!("DeleteBillingGroup", "DELETE" "/billing-groups/{billingGroupName}", [number("expectedVersion")], billing_groups::delete),
    row!("ListBillingGroups", "GET" "/billing-groups", [number("maxResults"), query("nextToken"), query("namePrefixFilter")], billing_groups::list),
    row!("AddThingToBillingGroup", "PUT" "/billing-groups/addThingToBillingGroup", NONE, billing_groups::add),
    row!("RemoveThingFromBillingGroup", "PUT" "/billing-groups/removeThingFromBillingGroup", NONE, billing_groups::remove),
    row!("ListThingsInBillingGroup", "GET" "/billing-groups/{billingGroupName}/things", RESULTS, billing_groups::things),
    row!("TagResource", "POST" "/tags", NONE, tagging::tag),
    row!("UntagResource", "POST" "/untag", NONE, tagging::untag),
    row!("ListTagsForResource", "GET" "/tags", [query("resourceArn"), query("nextToken")], tagging::list),
    row!("DescribeEventConfigurations", "GET" "/event-configurations", NONE, event_configurations::describe),
    row!("UpdateEventConfigurations", "PATCH" "/event-configurations", NONE, event_configurations::update),
    row!("CreatePolicy", "POST" "/policies/{policyName}", NONE, policies::create),
    row!("GetPolicy", "GET" "/policies/{policyName}", NONE, policies::fetch),
    row!("ListPolicies", "GET" "/policies", PAGE, policies::list),
    row!("DeletePolicy", "DELETE" "/policies/{policyName}", NONE, policies::delete),
    row!("CreatePolicyVersion", "POST" "/policies/{policyName}/version", [flag("setAsDefault")], policies::create_version),
    row!("GetPolicyVersion", "GET" "/policies/{policyName}/version/{policyVersionId}", NONE, policies::fetch_version),
    row!("ListPolicyVersions", "GET" "/policies/{policyName}/version", NONE, policies::versions),
    row!("SetDefaultPolicyVersion", "PATCH" "/policies/{policyName}/version/{policyVersionId}", NONE, policies::set_default_version),
    row!("DeletePolicyVersion", "DELETE" "/policies/{policyName}/version/{policyVersionId}", NONE, policies::delete_version),
    row!("AttachPolicy", "PUT" "/target-policies/{policyName}", NONE, policies::attach),
    row!("DetachPolicy", "POST" "/target-policies/{policyName}", NONE, policies::detach),
    row!("ListAttachedPolicies", "POST" "/attached-policies/{target+}", [number("pageSize"), query("marker"), flag("isAscendingOrder"), flag("recursive")], policies::attached),
    row!("ListTargetsForPolicy", "POST" "/policy-targets/{policyName}", PAGE, policies::targets),
    row!("AttachPrincipalPolicy", "PUT" "/principal-policies/{policyName}", [IOT_PRINCIPAL], policies::attach),
    row!("DetachPrincipalPolicy", "DELETE" "/principal-policies/{policyName}", [IOT_PRINCIPAL], policies::detach_principal),
    row!("ListPrincipalPolicies", "GET" "/principal-policies", [number("pageSize"), query("marker"), flag("isAscendingOrder"), IOT_PRINCIPAL], policies::attached),
    row!("ListPolicyPrincipals", "GET" "/policy-principals", [number("pageSize"), query("marker"), flag("isAscendingOrder"), POLICY], policies::policy_principals),
    row!("TestAuthorization", "POST" "/test-authorization", [query("clientId")], authorization::test),
    row!("GetEffectivePolicies", "POST" "/effective-policies", [query("thingName")], authorization::effective),
    row!("CreateDomainConfiguration", "POST" "/domainConfigurations/{domainConfigurationName}", NONE, domain_configurations::create),
    row!("DescribeDomainConfiguration", "GET" "/domainConfigurations/{domainConfigurationName}", NONE, domain_configurations::describe),
    row!("UpdateDomainConfiguration", "PUT" "/domainConfigurations/{domainConfigurationName}", NONE, domain_configurations::update),
    row!("DeleteDomainConfiguration", "DELETE" "/domainConfigurations/{domainConfigurationName}", NONE, domain_configurations::delete),
    row!("ListDomainConfigurations", "GET" "/domainConfigurations", [number("pageSize"), query("marker"), query("serviceType")], domain_configurations::list),
    row!("UpdateIndexingConfiguration", "POST" "/indexing/config", NONE, search::update),
    row!("GetIndexingConfiguration", "GET" "/indexing/config", NONE, search::configured),
    row!("DescribeIndex", "GET" "/indices/{indexName}", NONE, search::describe),
    row!("ListIndices", "GET" "/indices", RESULTS, search::list),
    row!("SearchIndex", "POST" "/indices/search", NONE, search::search),
    row!("GetStatistics", "POST" "/indices/statistics", NONE, search::statistics),
    row!("GetCardinality", "POST" "/indices/cardinality", NONE, search::cardinality),
    row!("GetPercentiles", "POST" "/indices/percentiles", NONE, search::percentiles),
    row!("GetBucketsAggregation", "POST" "/indices/buckets", NONE, search::buckets),
    row!("CreateDynamicThingGroup", "POST" "/dynamic-thing-groups/{thingGroupName}", NONE, dynamic_groups::create),
    row!("UpdateDynamicThingGroup", "PATCH" "/dynamic-thing-groups/{thingGroupName}", NONE, dynamic_groups::update),
    row!("DeleteDynamicThingGroup", "DELETE" "/dynamic-thing-groups/{thingGroupName}", [number("expectedVersion")], dynamic_groups::delete),
    row!("CreateRoleAlias", "POST" "/role-aliases/{roleAlias}", NONE, role_aliases::create),
    row!("DescribeRoleAlias", "GET" "/role-aliases/{roleAlias}", NONE, role_aliases::describe),
    row!("UpdateRoleAlias", "PUT" "/role-aliases/{roleAlias}", NONE, role_aliases::update),
    row!("DeleteRoleAlias", "DELETE" "/role-aliases/{roleAlias}", NONE, role_aliases::delete),
    row!("ListRoleAliases", "GET" "/role-aliases", PAGE, role_aliases::list),
    row!("CreateProvisioningTemplate", "POST" "/provisioning-templates", NONE, templates::create),
    row!("DescribeProvisioningTemplate", "GET" "/provisioning-templates/{templateName}", NONE, templates::describe),
    row!("UpdateProvisioningTemplate", "PATCH" "/provisioning-templates/{templateName}", NONE, templates::update),
    row!("ListProvisioningTemplates", "GET" "/provisioning-templates", RESULTS, templates::list),
    row!("DeleteProvisioningTemplate", "DELETE" "/provisioning-templates/{templateName}", NONE, templates::delete),
    row!("CreateProvisioningTemplateVersion", "POST" "/provisioning-templates/{templateName}/versions", [flag("setAsDefault")], templates::create_version),
    row!("DescribeProvisioningTemplateVersion", "GET" "/provisioning-templates/{templateName}/versions/{versionId}", NONE, templates::describe_version),
    row!("ListProvisioningTemplateVersions", "GET" "/provisioning-templates/{templateName}/versions", RESULTS, templates::versions),
    row!("DeleteProvisioningTemplateVersion", "DELETE" "/provisioning-templates/{templateName}/versions/{versionId}", NONE, templates::delete_version),
    row!("RegisterThing", "POST" "/things", NONE, register_thing::register),
    row!("CreateAuthorizer", "POST" "/authorizer/{authorizerName}", NONE, authorizers::create),
    row!("DescribeAuthorizer", "GET" "/authorizer/{authorizerName}", NONE, authorizers::describe),
    row!("UpdateAuthorizer", "PUT" "/authorizer/{authorizerName}", NONE, authorizers::update),
    row!("DeleteAuthorizer", "DELETE" "/authorizer/{authorizerName}", NONE, authorizers::delete),
    row!("ListAuthorizers", "GET" "/authorizers/", [number("pageSize"), query("marker"), flag("isAscendingOrder"), query("status")], authorizers::list),
    row!("SetDefaultAuthorizer", "POST" "/default-authorizer", NONE, authorizers::set_default),
    row!("ClearDefaultAuthorizer", "DELETE" "/default-authorizer", NONE, authorizers::clear_default),
    row!("DescribeDefaultAuthorizer", "GET" "/default-authorizer", NONE, authorizers::describe_default),
    row!("TestInvokeAuthorizer", "POST" "/authorizer/{authorizerName}/test", NONE, authorizers::test),
    row!("CreateProvisioningClaim", "POST" "/provisioning-templates/{templateName}/provisioning-claim", NONE, claims::create),
    row!("StartThingRegistrationTask", "POST" "/thing-registration-tasks", NONE, tasks::start),
    row!("DescribeThingRegistrationTask", "GET" "/thing-registration-tasks/{taskId}", NONE, tasks::describe),
    row!("StopThingRegistrationTask", "PUT" "/thing-registration-tasks/{taskId}/cancel", NONE, tasks::stop),
    row!("ListThingRegistrationTasks", "GET" "/thing-registration-tasks", [number("maxResults"), query("nextToken"), query("status")], tasks::list),
    row!("ListThingRegistrationTaskReports", "GET" "/thing-registration-tasks/{taskId}/reports", [number("maxResults"), query("nextToken"), query("reportType")], tasks::reports),
    row!("Publish", "POST" "/topics/{topic+}", [number("qos"), flag("retain"), query("contentType"), query("responseTopic"), number("messageExpiry"), USER_PROPERTIES, PAYLOAD_FORMAT, CORRELATION, PAYLOAD], publish::publish),
    row!("GetRetainedMessage", "GET" "/retainedMessage/{topic+}", NONE, retained::fetch),
    row!("ListRetainedMessages", "GET" "/retainedMessage", RESULTS, retained::list),
    row!("SendDirectMessage", "POST" "/connections/{clientId}/messages", [query("topic"), flag("confirmation"), number("timeout"), query("contentType"), query("responseTopic"), USER_PROPERTIES, PAYLOAD_FORMAT, CORRELATION, PAYLOAD], direct::send),
    row!("GetConnection", "GET" "/connections/{clientId}", [flag("includeSocketInformation")], connections::fetch),
    row!("ListSubscriptions", "GET" "/connections/{clientId}/subscriptions", RESULTS, connections::subscriptions),
    row!("DeleteConnection", "DELETE" "/connections/{clientId}", [flag("cleanSession"), flag("preventWillMessage")], connections::delete),
];

/// What is ours alone: no operation of AWS IoT has a path that begins like these.
pub(super) static OWN: [Operation<Handler>; 18] = [
    row!("BirthmarkAttempts", "GET" "/birthmark/attempts", [query("what"), flag("refused"), number("count")], own::attempts),
    row!("BirthmarkListKeys", "GET" "/birthmark/keys", NONE, own_keys::list),
    row!("BirthmarkRotateKey", "POST" "/birthmark/keys/{keyId}/rotate", NONE, own_keys::rotate),
    row!("BirthmarkDisableKey", "POST" "/birthmark/keys/{keyId}/disable", NONE, own_keys::disable),
    row!("BirthmarkExport", "GET" "/birthmark/export", [query("kind"), number("count"), query("nextToken")], moving::export),
    row!("BirthmarkImport", "POST" "/birthmark/import", [PAYLOAD], moving::import),
    row!("BirthmarkReprovision", "POST" "/birthmark/reprovision", NONE, moving::reprovision),
    row!("BirthmarkEnrollSigner", "POST" "/birthmark/manifests/signers", NONE, manifests::enroll),
    row!("BirthmarkListSigners", "GET" "/birthmark/manifests/signers", NONE, manifests::list_signers),
    row!("BirthmarkRevokeSigner", "DELETE" "/birthmark/manifests/signers/{signerId}", NONE, manifests::revoke),
    row!("BirthmarkTakeManifest", "POST" "/birthmark/manifests/lines", [PAYLOAD], manifests::take),
    row!("BirthmarkListOrders", "GET" "/birthmark/manifests/orders", NONE, manifests::list_orders),
    row!("BirthmarkDescribeOrder", "GET" "/birthmark/manifests/orders/{order}", NONE, manifests::describe_order),
    row!("BirthmarkPlaceOrder", "PUT" "/birthmark/manifests/orders/{order}", NONE, manifests::place),
    row!("BirthmarkTakeItems", "POST" "/birthmark/manifests/orders/{order}/items", NONE, manifests::take_items),
    row!("BirthmarkDescribeGate", "GET" "/birthmark/cas/{caCertificateId}/gate", NONE, manifests::describe_gate),
    row!("BirthmarkCloseGate", "PUT" "/birthmark/cas/{caCertificateId}/gate", NONE, manifests::close_gate),
    row!("BirthmarkOpenGate", "DELETE" "/birthmark/cas/{caCertificateId}/gate", NONE, manifests::open_gate),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::operation::route;

    fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split('\t').collect())
    }

    #[test]
    fn every_row_is_an_operation_of_the_model() {
        let all: Vec<_> = lines(include_str!("operations.tsv")).collect();
        assert_eq!(all.len(), 288);
        for row in TABLE {
            let path = row.path.replace('+', "");
            let known = |line: &Vec<&str>| line[1..] == [row.name, row.method, &path];
            assert!(all.iter().any(known), "{} {} {path}", row.name, row.method);
        }
    }

    #[test]
    fn the_page_of_the_coverage_agrees_with_the_table() {
        let page = include_str!("../../../../docs/reference/api-coverage.md");
        let served = |name: &str| TABLE.iter().any(|row| row.name == name);
        let rows = page.lines().filter_map(|line| line.strip_prefix("| ")).skip(1);
        let mut works = 0;
        for row in rows {
            let cells: Vec<_> = row.trim_end_matches(" |").split(" | ").collect();
            let stale = "the page is stale: run cargo xtask docs";
            let (name, model, state) = (cells[0], cells[1], cells[3]);
            works += usize::from(state != "not");
            assert_eq!(
                state != "not",
                model != "iot-jobs-data" && served(name),
                "{name}: {stale}"
            );
        }
        assert_eq!(works, TABLE.len());
        for line in lines(include_str!("partly.tsv")) {
            assert!(
                served(line[0]) && page.contains(&format!("partly: {}", line[1])),
                "{line:?}"
            );
        }
    }

    #[test]
    fn every_row_finds_itself_and_names_are_unique() {
        for (index, operation) in TABLE.iter().enumerate() {
            let path = operation
                .path
                .replace("{target+}", "a/b")
                .replace("{topic+}", "a/b")
                .replace(['{', '}'], "");
            let (found, _) = route(TABLE, operation.method, &path).unwrap();
            assert_eq!(found.name, operation.name);
            assert!(
                TABLE
                    .iter()
                    .skip(index + 1)
                    .all(|other| other.name != operation.name),
                "{}",
                operation.name
            );
        }
    }
}
