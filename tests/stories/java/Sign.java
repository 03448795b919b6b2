// Signs with an entry of a PKCS #11 key store, verifies with the entry's certificate, and leaves the signature in a file.
// Arguments: SunPKCS11 configuration, PIN, alias, file, algorithm.

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.Security;
import java.security.Signature;

public class Sign {
    public static void main(String[] words) throws Exception {
        byte[] data = "hello".getBytes(StandardCharsets.UTF_8);
        Provider token = Security.getProvider("SunPKCS11").configure(words[0]);
        KeyStore store = KeyStore.getInstance("PKCS11", token);
        store.load(null, words[1].toCharArray());

        Signature signer = Signature.getInstance(words[4], token);
        signer.initSign((PrivateKey) store.getKey(words[2], null));
        signer.update(data);
        byte[] signature = signer.sign();

        Signature verifier = Signature.getInstance(words[4]);
        verifier.initVerify(store.getCertificate(words[2]));
        verifier.update(data);
        System.out.println(verifier.verify(signature) ? "verified" : "NOT verified");
        Files.write(Path.of(words[3]), signature);
    }
}
