//! Domain configurations: what may be made, changed and deleted, and who is admitted under them.
#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as the tests do")]

mod fixtures;

use fixtures::{NOW, call, refused};
use fleet::domain_configuration::{
    Authentication, AuthorizerConfig, CreateFacts, CreateRequest, DomainConfiguration, Protocol,
    SecurityPolicy, ServerCertificate, ServiceType, Settings, UpdateRequest, create, delete, update,
};
use fleet::names::DomainConfigurationName;
use fleet::record::Versioned;
use fleet::{Decided, Exception};
use identity::Explained as _;

const ARN: &str = "arn:aws:acm:us-east-1:123456789012:certificate/iot";

fn name() -> DomainConfigurationName {
    DomainConfigurationName::parse("factory.2").unwrap()
}

fn facts() -> CreateFacts {
    CreateFacts {
        certificate: Some(ServerCertificate {
            names: vec!["*.example.com".to_owned()],
            not_before: NOW.plus_days(-1),
            not_after: NOW.plus_days(1),
        }),
        made_up: Some("d1-ats.localhost".to_owned()),
        suffix: "abcde".to_owned(),
        ..CreateFacts::default()
    }
}

fn own(domain: &str) -> CreateRequest {
    CreateRequest {
        domain: Some(domain.to_owned()),
        server_certificates: vec![ARN.to_owned()],
        ..CreateRequest::default()
    }
}

fn made(request: CreateRequest) -> Versioned<DomainConfiguration> {
    let record = create(&call(), &name(), request, facts()).unwrap().reply;
    Versioned { version: 3, record }
}

fn set(settings: Settings) -> CreateRequest {
    CreateRequest {
        settings,
        ..CreateRequest::default()
    }
}

#[test]
fn a_domain_is_the_callers_own_or_made_up_here() {
    let own = made(own("IoT.example.com")).record;
    assert_eq!(
        (own.domain.as_str(), own.is_customers()),
        ("iot.example.com", true)
    );
    assert_eq!(own.security_policy.name(), "IoTSecurityPolicy_TLS13_1_2_2022_10");
    assert_eq!(
        own.arn(&call()),
        "arn:aws:iot:us-east-1:123456789012:domainconfiguration/factory.2/abcde"
    );
    let made_up = made(CreateRequest::default()).record;
    assert_eq!(
        (made_up.domain.as_str(), made_up.is_customers()),
        ("d1-ats.localhost", false)
    );
}

#[test]
fn what_cannot_be_made_is_refused() {
    type Change = fn(&mut CreateRequest, &mut CreateFacts);
    let rows: [(&str, Exception, Change); 13] = [
        ("fleet.domain_name", Exception::InvalidRequest, |request, _| {
            request.domain = Some("example.com:8883".to_owned());
        }),
        (
            "fleet.domain_configuration",
            Exception::InvalidRequest,
            |request, _| {
                request.server_certificates.clear();
            },
        ),
        (
            "fleet.domain_configuration",
            Exception::InvalidRequest,
            |request, _| {
                request.server_certificates.push(ARN.to_owned());
            },
        ),
        (
            "fleet.domain_configuration",
            Exception::InvalidRequest,
            |request, _| {
                request.domain = None;
            },
        ),
        (
            "fleet.domain_configuration",
            Exception::InvalidRequest,
            |request, facts| {
                (request.domain, facts.made_up) = (None, None);
                request.server_certificates.clear();
            },
        ),
        (
            "fleet.domain_configuration",
            Exception::InvalidRequest,
            |request, _| {
                request.service = ServiceType::Jobs;
            },
        ),
        (
            "fleet.domain_configuration",
            Exception::InvalidRequest,
            |request, _| {
                request.settings.staples = true;
            },
        ),
        (
            "fleet.domain_configuration",
            Exception::InvalidRequest,
            |request, _| {
                request.settings.has_callback = true;
            },
        ),
        (
            "fleet.domain_configuration.taken",
            Exception::ResourceAlreadyExists,
            |_, facts| {
                facts.taken = true;
            },
        ),
        (
            "fleet.domain_configuration.limit",
            Exception::LimitExceeded,
            |_, facts| facts.count = 10,
        ),
        (
            "fleet.domain_configuration.certificate",
            Exception::CertificateValidation,
            |_, facts| {
                facts.certificate = None;
            },
        ),
        (
            "fleet.domain_configuration.certificate",
            Exception::CertificateValidation,
            |request, _| {
                request.domain = Some("a.iot.example.com".to_owned());
            },
        ),
        (
            "fleet.domain_configuration.certificate",
            Exception::CertificateValidation,
            |_, facts| {
                if let Some(certificate) = &mut facts.certificate {
                    certificate.not_after = NOW.plus_days(-1);
                }
            },
        ),
    ];
    for (code, exception, change) in rows {
        let (mut request, mut facts) = (own("iot.example.com"), facts());
        facts.count = 9;
        assert!(create(&call(), &name(), request.clone(), facts.clone()).is_ok());
        change(&mut request, &mut facts);
        assert_eq!(
            refused(create(&call(), &name(), request, facts)),
            (exception.name(), code)
        );
    }
    let again = CreateFacts {
        existing: Some(made(CreateRequest::default())),
        ..facts()
    };
    let refusal = create(&call(), &name(), CreateRequest::default(), again).unwrap_err();
    assert_eq!(refusal.code(), "fleet.resource.exists");
    assert!(
        refusal
            .existing_resource()
            .unwrap()
            .arn
            .ends_with("/factory.2/abcde")
    );
}

#[test]
fn protocols_and_authentications_fit_together() {
    for protocol in Protocol::ALL {
        for authentication in Authentication::ALL {
            let settings = Settings {
                protocol: Some(*protocol),
                authentication: Some(*authentication),
                ..Settings::default()
            };
            let fits = !matches!(
                (protocol, authentication),
                (_, Authentication::CustomX509)
                    | (Protocol::Mqtt, Authentication::SigV4)
                    | (Protocol::WebSocket, Authentication::X509)
            );
            let outcome = create(&call(), &name(), set(settings), facts());
            assert_eq!(outcome.is_ok(), fits, "{protocol:?} {authentication:?}");
        }
    }
}

fn changed(
    request: UpdateRequest,
    existing: &Versioned<DomainConfiguration>,
) -> Decided<DomainConfiguration> {
    update(&call(), "factory.2", request, Some(existing))
}

#[test]
fn what_is_not_named_stays_as_it_is() {
    let authorizer = AuthorizerConfig {
        default: Some("gate".to_owned()),
        overridable: true,
    };
    let first = made(set(Settings {
        security_policy: Some(SecurityPolicy::Tls13),
        authorizer: Some(authorizer.clone()),
        ..Settings::default()
    }));
    let same = changed(UpdateRequest::default(), &first).unwrap().reply;
    assert_eq!(same, first.record);
    let disabled = UpdateRequest {
        enabled: Some(false),
        removes_authorizer: true,
        ..UpdateRequest::default()
    };
    let disabled = changed(disabled, &first).unwrap().reply;
    assert!(disabled.disabled && disabled.authorizer.is_none());
    assert_eq!(disabled.security_policy, SecurityPolicy::Tls13);
    let both = UpdateRequest {
        removes_authorizer: true,
        settings: Settings {
            authorizer: Some(authorizer),
            ..Settings::default()
        },
        ..UpdateRequest::default()
    };
    assert_eq!(refused(changed(both, &first)).1, "fleet.domain_configuration");
    let default = update(&call(), "iot:Data-ATS", UpdateRequest::default(), None);
    assert_eq!(refused(default).1, "fleet.domain_configuration");
    assert_eq!(
        refused(update(&call(), "none", UpdateRequest::default(), None)).1,
        "fleet.resource.missing"
    );
}

#[test]
fn only_a_disabled_one_is_deleted() {
    let mut existing = made(CreateRequest::default());
    assert_eq!(
        refused(delete(&call(), "factory.2", Some(&existing))).1,
        "fleet.domain_configuration.enabled"
    );
    existing.record.disabled = true;
    assert_eq!(
        delete(&call(), "factory.2", Some(&existing))
            .unwrap()
            .batch
            .writes
            .len(),
        1
    );
    assert_eq!(
        refused(delete(&call(), "factory.2", None)).1,
        "fleet.resource.missing"
    );
    assert_eq!(
        refused(delete(&call(), "iot:CredentialProvider", None)).1,
        "fleet.domain_configuration"
    );
}

#[test]
fn clients_are_admitted_as_the_domain_is_set() {
    let admit = |change: fn(&mut DomainConfiguration)| {
        let mut domain = made(CreateRequest::default()).record;
        change(&mut domain);
        domain.admit(Protocol::Mqtt, Authentication::X509)
    };
    assert!(admit(|_| {}).is_ok());
    assert!(admit(|domain| domain.protocol = Protocol::Mqtt).is_ok());
    assert!(admit(|domain| domain.authentication = Authentication::X509).is_ok());
    let refusals: [fn(&mut DomainConfiguration); 4] = [
        |domain| domain.disabled = true,
        |domain| domain.protocol = Protocol::Https,
        |domain| domain.authentication = Authentication::Custom,
        |domain| domain.service = ServiceType::CredentialProvider,
    ];
    for refusal in refusals {
        assert_eq!(admit(refusal).unwrap_err().exception(), Exception::Unauthorized);
    }
}
