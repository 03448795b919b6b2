//! What the program of a custom authorizer answers, and what follows from it for a connection.
//!
//! It stands between that program and a grant (AWS IoT developer guide, "Defining your Lambda function"). An answer that is
//! not exactly of that form lets nobody in.

use policy::{NamedPolicy, Policy};

use crate::limits::{
    AUTHORIZER_POLICIES_MAX, AUTHORIZER_PRINCIPAL_BYTES_MAX, AUTHORIZER_SECONDS_MAX, AUTHORIZER_SECONDS_MIN,
};
use crate::refusal::{Exception, Refusal};

/// The answer, as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// `isAuthenticated`
    pub is_authenticated: bool,
    /// `principalId`
    pub principal: String,
    /// `policyDocuments`
    pub policies: Vec<String>,
    /// `disconnectAfterInSeconds`
    pub disconnect_after_seconds: i64,
    /// `refreshAfterInSeconds`
    pub refresh_after_seconds: i64,
}

/// Somebody whom an authorizer lets in.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// Who, as the authorizer says.
    pub principal: String,
    /// What he may do.
    pub policies: Vec<NamedPolicy>,
    /// When the connection ends at the latest.
    pub disconnect_after_seconds: u32,
    /// When the authorizer is to be asked again.
    pub refresh_after_seconds: u32,
}

impl Admitted {
    /// Milliseconds until the authorizer is to be asked again.
    pub fn refresh_millis(&self) -> i64 {
        i64::from(self.refresh_after_seconds) * 1_000
    }
}

impl Answer {
    /// Checks the form alone.
    pub fn check(&self) -> Result<Vec<Policy>, Refusal> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric();
        if self.is_authenticated
            && (!(1..=AUTHORIZER_PRINCIPAL_BYTES_MAX).contains(&self.principal.len())
                || !self.principal.bytes().all(fits))
        {
            return Err(unfit("principalId has 1 to 128 letters and digits".to_owned()));
        }
        if self.policies.len() > AUTHORIZER_POLICIES_MAX {
            return Err(unfit(format!(
                "there are more than {AUTHORIZER_POLICIES_MAX} policyDocuments"
            )));
        }
        let seconds = [
            ("disconnectAfterInSeconds", self.disconnect_after_seconds),
            ("refreshAfterInSeconds", self.refresh_after_seconds),
        ];
        for (name, value) in seconds {
            if self.is_authenticated && !(AUTHORIZER_SECONDS_MIN..=AUTHORIZER_SECONDS_MAX).contains(&value) {
                return Err(unfit(format!("{name} is 300 to 86400, not {value}")));
            }
        }
        let parse =
            |text: &String| Policy::parse(text).map_err(|fault| unfit(format!("a policy document: {fault}")));
        self.policies.iter().map(parse).collect()
    }

    /// What follows for a client; `authorizer` is who answered.
    pub fn admit(self, authorizer: &str) -> Result<Admitted, Refusal> {
        let policies = self.check()?;
        if !self.is_authenticated {
            return Err(Refusal::new(
                Exception::Unauthorized,
                "fleet.authorizer.denied",
                format!("the authorizer {authorizer} does not know the client"),
            )
            .hint("look at the log of the authorizer's program"));
        }
        let named = |(index, policy)| NamedPolicy::new(format!("{authorizer}[{index}]"), policy);
        Ok(Admitted {
            policies: policies.into_iter().enumerate().map(named).collect(),
            principal: self.principal,
            disconnect_after_seconds: seconds(self.disconnect_after_seconds),
            refresh_after_seconds: seconds(self.refresh_after_seconds),
        })
    }
}

fn seconds(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

/// The answer is not of the form that it must have (AWS IoT API reference, InvalidResponseException).
pub fn unfit(why: String) -> Refusal {
    Refusal::new(
        Exception::InvalidResponse,
        "fleet.authorizer.answer",
        format!("the answer of the authorizer cannot be used: {why}"),
    )
    .hint("see the AWS IoT developer guide, \"Defining your Lambda function\"")
}

#[cfg(test)]
mod tests {
    use identity::Explained as _;

    use super::*;

    fn answer() -> Answer {
        let policy =
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;
        Answer {
            is_authenticated: true,
            principal: "unit7".to_owned(),
            policies: vec![policy.to_owned()],
            disconnect_after_seconds: 86_400,
            refresh_after_seconds: 300,
        }
    }

    fn admitted(change: impl FnOnce(&mut Answer)) -> Result<Admitted, &'static str> {
        let mut answer = answer();
        change(&mut answer);
        answer.admit("a").map_err(|refusal| refusal.code())
    }

    #[test]
    fn an_answer_of_the_right_form_lets_in() {
        let who = admitted(|_| {}).unwrap();
        assert_eq!(who.principal, "unit7");
        assert_eq!(
            (who.disconnect_after_seconds, who.refresh_after_seconds),
            (86_400, 300)
        );
        assert_eq!(who.policies.len(), 1);
        assert!(
            admitted(|answer| answer.policies.clear()).is_ok(),
            "and then it may do nothing"
        );
    }

    #[test]
    fn every_other_answer_lets_nobody_in() {
        const UNFIT: &str = "fleet.authorizer.answer";
        assert_eq!(
            admitted(|answer| answer.is_authenticated = false).unwrap_err(),
            "fleet.authorizer.denied"
        );
        let changes: [fn(&mut Answer); 9] = [
            |answer| answer.principal.clear(),
            |answer| answer.principal = "unit-7".to_owned(),
            |answer| answer.principal = "x".repeat(129),
            |answer| answer.policies = vec![answer.policies[0].clone(); 11],
            |answer| answer.policies.push("{}".to_owned()),
            |answer| answer.disconnect_after_seconds = 299,
            |answer| answer.disconnect_after_seconds = 86_401,
            |answer| answer.refresh_after_seconds = 0,
            |answer| answer.refresh_after_seconds = -300,
        ];
        for change in changes {
            assert_eq!(admitted(change).unwrap_err(), UNFIT);
        }
        assert!(admitted(|answer| answer.principal = "x".repeat(128)).is_ok());
        assert!(admitted(|answer| answer.policies = vec![answer.policies[0].clone(); 10]).is_ok());
    }
}
