//! Known answers: digests, AES by mode, key derivation, TLS 1.2.

use identity::key::Curve;
use token::Hash;
use token::crypto::{
    Derived, Digest, EcPrivate, EcdhParameters, HkdfParameters, HkdfSalt, Key, KeyBlock, Mechanism, Sign,
    Tls12ExtendedMasterParameters, Tls12KdfParameters, Tls12KeyAndMacParameters, Tls12MasterParameters,
    TlsMacParameters, Verify, derive,
};

use crate::{decrypt, encrypt, secret, unhex};

#[test]
fn digests_of_abc() {
    let known = [
        (Hash::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            Hash::Sha224,
            "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
        ),
        (
            Hash::Sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            Hash::Sha384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            Hash::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (
            Hash::Sha3_224,
            "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf",
        ),
        (
            Hash::Sha3_256,
            "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
        ),
        (
            Hash::Sha3_384,
            "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25",
        ),
        (
            Hash::Sha3_512,
            "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
        ),
    ];
    for (hash, wanted) in known {
        let mut digest = Digest::new(hash);
        let mut out = vec![0; digest.bytes()];
        b"abc".chunks(1).for_each(|part| digest.update(part));
        assert_eq!(digest.finish(&mut out), Ok(hash.bytes()));
        assert_eq!(out, unhex(wanted), "{hash:?}");
    }
}

const AES_KEYS: [&str; 3] = [
    "2b7e151628aed2a6abf7158809cf4f3c",
    "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
];

/// The first two blocks of NIST SP 800-38A, appendix F, in each mode and with each length of key.
#[test]
fn aes_of_sp_800_38a() {
    let plain = unhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
    let iv = unhex("000102030405060708090a0b0c0d0e0f")[..].try_into().unwrap();
    let block = unhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")[..].try_into().unwrap();
    let counter = Mechanism::AesCtr {
        counter_bits: 128,
        block,
    };
    let known = [
        (
            Mechanism::AesEcb,
            [
                "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf",
                "bd334f1d6e45f25ff712a214571fa5cc974104846d0ad3ad7734ecb3ecee4eef",
                "f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870",
            ],
        ),
        (
            Mechanism::AesCbc { iv },
            [
                "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2",
                "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a",
                "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
            ],
        ),
        (
            counter,
            [
                "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff",
                "1abc932417521ca24f2b0459fe7e6e0b090339ec0aa6faefd5ccc2c6f4ce8e94",
                "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5",
            ],
        ),
    ];
    for (mechanism, answers) in known {
        for (key, wanted) in AES_KEYS.into_iter().zip(answers) {
            let key = secret(&unhex(key));
            assert_eq!(
                encrypt(&mechanism, &key, &plain),
                Ok(unhex(wanted)),
                "{mechanism:?}"
            );
            assert_eq!(
                decrypt(&mechanism, &key, &unhex(wanted)),
                Ok(plain.clone()),
                "{mechanism:?}"
            );
        }
    }
}

fn value(derived: Result<Derived, token::Error>) -> Vec<u8> {
    match derived.unwrap() {
        Derived::Value(value) => value.to_vec(),
        Derived::Master { secret, .. } => secret.to_vec(),
        Derived::KeyBlock(_) => Vec::new(),
    }
}

/// RFC 5869, A.1, step by step.
#[test]
fn hkdf_in_single_steps() {
    let hkdf = |extract, expand| {
        Mechanism::HkdfDerive(HkdfParameters {
            hash: Hash::Sha256,
            extract,
            expand,
        })
    };
    let key = unhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    let salt = unhex("000102030405060708090a0b0c");
    let input = secret(&[0x0B; 22]);
    let by_data = hkdf(Some(HkdfSalt::Bytes(salt.clone())), None);
    assert_eq!(value(derive(&by_data, &input, None, None)), key);
    assert_eq!(value(derive(&by_data, &input, None, Some(20))), key[..20]);
    let by_key = hkdf(Some(HkdfSalt::Key(7)), None);
    assert_eq!(value(derive(&by_key, &input, Some(&secret(&salt)), None)), key);
    let expand = hkdf(None, Some(unhex("f0f1f2f3f4f5f6f7f8f9")));
    assert_eq!(
        value(derive(&expand, &secret(&key), None, Some(42))),
        unhex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
    );
}

/// The keys of RFC 5903, 8.1, and what the key derivation function of ANSI X9.63 makes of their secret.
#[test]
fn ecdh_with_each_derivation_function() {
    let scalar = unhex("C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433");
    let key = Key::EcPrivate(Box::new(EcPrivate::from_scalar(Curve::P256, &scalar).unwrap()));
    let public = unhex(
        "04D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63
         56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB",
    );
    let agreed = |kdf, shared: &[u8], bytes| {
        let parameters = EcdhParameters {
            cofactor: false,
            kdf,
            shared: shared.to_vec(),
            public: public.clone(),
        };
        value(derive(&Mechanism::Ecdh1(parameters), &key, None, bytes))
    };
    let whole = unhex("D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE");
    assert_eq!(agreed(None, &[], None), whole);
    // What is too much is cut at the beginning.
    assert_eq!(agreed(None, &[], Some(16)), whole[16..]);
    let known = KDF.map(|(hash, wanted)| (hash, unhex(wanted)));
    for (hash, wanted) in known {
        assert_eq!(agreed(Some(hash), &[0x75, 0xEE], Some(50)), wanted, "{hash:?}");
    }
}

const KDF: [(Hash, &str); 6] = [
    (
        Hash::Sha1,
        "CDD546D501D41EAE41F7717DEB4C35EE32C5796EFD3C12F41AF85BA1AAFE74CBDC9ED1690F63B234255D85F1A9EE1B1DEB3A",
    ),
    (
        Hash::Sha224,
        "BBB0DBD949B4125242A5059B18CE210627FC6B82E1A844234E36AE0B7C65721B98689C39AD05855C2DE6FFB286720E926528",
    ),
    (
        Hash::Sha256,
        "221F093CE384336FE608710A4B9E952A9F443E8706D131FD1E4909BE932E029297732B7880FE16ECF6E690033E09FF9E604C",
    ),
    (
        Hash::Sha384,
        "75F939BD88A3A962B009222066E9D134B9B23889C1A9280593E349798E8BBBC22AF2E24AE258013AC780D508F5133D3F7CE2",
    ),
    (
        Hash::Sha512,
        "691B35108DE64BA7704157624A29A28FEC0272B5386AAC84EC684EA244C287BC8F595A072884C4690AD5DCA1400952F6A46D",
    ),
    (
        Hash::Sha3_256,
        "1FB17EB7597758A0292DC75695778598BD5D950E590AE05DF840725ADB255503404BCC59BD9DDDBBB8E81BB1293CCC255E05",
    ),
];

const MASTER: &str =
    "3DD6A74FAABC60729989592834C19C0E1F70ACCB6584130AF76BCEC37DDB3CDC9F228E7B4E66F3D26D24170A81261CD1";

/// A premaster secret of TLS 1.2 as RSA has it.
fn premaster() -> Vec<u8> {
    [3, 3].into_iter().chain(7..53).collect()
}

#[test]
fn master_secrets_of_tls() {
    let master = |hash, with_version| {
        Mechanism::Tls12Master(Tls12MasterParameters {
            hash,
            client_random: vec![0xC1; 32],
            server_random: vec![0x5E; 32],
            with_version,
        })
    };
    let base = secret(&premaster());
    for (with, found) in [(true, Some((3, 3))), (false, None)] {
        let Ok(Derived::Master { secret, version }) = derive(&master(Hash::Sha256, with), &base, None, None)
        else {
            panic!("no master secret");
        };
        assert_eq!((secret.to_vec(), version), (unhex(MASTER), found));
    }
    assert_eq!(
        value(derive(&master(Hash::Sha384, false), &base, None, None)),
        unhex(
            "321A92890F696D02F67E0351BEF9AD0738641B0556D4741886E141588B8B026736D8BA7C598748081E12C2C082ECD2E1"
        )
    );
    let extended = Mechanism::Tls12ExtendedMaster(Tls12ExtendedMasterParameters {
        hash: Hash::Sha256,
        session_hash: vec![0xAB; 32],
        with_version: true,
    });
    assert_eq!(
        value(derive(&extended, &base, None, None)),
        unhex(
            "6FF59A93D2B794ED4FA112931A0E9EE296B6C77F227F57D301668199C2018BE845EA36460762F2AFABE0C25AD037F8F4"
        )
    );
}

#[test]
fn keys_of_a_tls_connection() {
    let parameters = Tls12KeyAndMacParameters {
        hash: Hash::Sha256,
        client_random: vec![0xC1; 32],
        server_random: vec![0x5E; 32],
        mac_bytes: 20,
        key_bytes: 32,
        iv_bytes: 4,
    };
    let base = secret(&unhex(MASTER));
    let Ok(Derived::KeyBlock(block)) = derive(&Mechanism::Tls12KeyAndMac(parameters), &base, None, None)
    else {
        panic!("no keys");
    };
    let KeyBlock {
        client_mac,
        server_mac,
        client_key,
        server_key,
        client_iv,
        server_iv,
    } = block;
    assert_eq!([client_mac.len(), client_key.len(), client_iv.len()], [20, 32, 4]);
    let all = [
        &client_mac[..],
        &server_mac,
        &client_key,
        &server_key,
        &client_iv,
        &server_iv,
    ];
    assert_eq!(
        all.concat(),
        unhex(
            "6840C50AF5007D4310FC4B4B86D5CDA8B8E038C26B8D9F56D621D2F7BB845A840452BAAF92F03F5E54449D0F58C3D5319CA033EB
             51C3D9FE81829C4825E5718919EED520FF6C047BB22863762C470EC95D6A27EA18E31BA0601EED0FCEDF06A8D1F0C5E1737F4DC3
             A1E4E954CD93E403"
        )
    );
}

#[test]
fn what_tls_exports() {
    let exported = |context| {
        let parameters = Tls12KdfParameters {
            hash: Hash::Sha256,
            label: b"EXPERIMENTAL test".to_vec(),
            client_random: vec![0xC1; 32],
            server_random: vec![0x5E; 32],
            context,
        };
        let base = secret(&unhex(MASTER));
        value(derive(&Mechanism::Tls12Kdf(parameters), &base, None, Some(40)))
    };
    assert_eq!(
        exported(None),
        unhex("027F0601C52D5FA6C852630A5FDD4CB495190ABD6109C4C9010E3010DFEDCA96FC3E09205E49E1E6")
    );
    assert_eq!(
        exported(Some(vec![0xAA, 0xBB, 0xCC])),
        unhex("F4497118B3520EA6171479EA826301F3EBE8082EAC0FEE3225D05B0A5F0183BA2010C7A3166936B2")
    );
}

#[test]
fn finished_messages_of_tls() {
    for (server, wanted) in [
        (false, "1B55F14E281D2294B4D8B414"),
        (true, "87D6723A53759E52B0528FE3"),
    ] {
        let mechanism = Mechanism::TlsMac(TlsMacParameters {
            hash: Hash::Sha256,
            bytes: 12,
            server,
        });
        let (key, wanted) = (secret(&unhex(MASTER)), unhex(wanted));
        let mut sign = Sign::new(&mechanism, &key).unwrap();
        let mut out = vec![0; sign.bytes()];
        [0xAB; 32].chunks(9).for_each(|part| sign.update(part).unwrap());
        assert_eq!(sign.finish(&mut out), Ok(12));
        assert_eq!(out, wanted);
        let mut verify = Verify::new(&mechanism, &key).unwrap();
        assert_eq!(verify.verify(&[0xAB; 32], &wanted), Ok(()));
        assert!(verify.verify(&[0xAC; 32], &wanted).is_err());
    }
}
