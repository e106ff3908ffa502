package io.privyseal;

import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URI;
import java.net.UnixDomainSocketAddress;
import java.util.Collection;
import java.util.Set;

/** Makes {@link Targets} for channels that bring a plan; gRPC finds it by its scheme. */
final class TargetsProvider extends NameResolverProvider {
    static final NameResolver.Args.Key<Targets.Plan> PLAN = NameResolver.Args.Key.create("privyseal-targets");
    static final String TCP = "privyseal";
    static final String UNIX = "privyseal-unix";

    private final String scheme;
    private final Class<? extends SocketAddress> addresses;

    private TargetsProvider(String scheme, Class<? extends SocketAddress> addresses) {
        this.scheme = scheme;
        this.addresses = addresses;
    }

    static {
        NameResolverRegistry registry = NameResolverRegistry.getDefaultRegistry();
        registry.register(new TargetsProvider(TCP, InetSocketAddress.class));
        registry.register(new TargetsProvider(UNIX, UnixDomainSocketAddress.class));
    }

    @Override
    public NameResolver newNameResolver(URI target, NameResolver.Args args) {
        Targets.Plan plan = args.getArg(PLAN);
        return scheme.equals(target.getScheme()) && plan != null ? new Targets(plan, args) : null;
    }

    @Override
    public String getDefaultScheme() {
        return scheme;
    }

    @Override
    public Collection<Class<? extends SocketAddress>> getProducedSocketAddressTypes() {
        return Set.of(addresses);
    }

    @Override
    protected boolean isAvailable() {
        return true;
    }

    @Override
    protected int priority() {
        // Below the built-in ones, so that targets without a scheme stay theirs.
        return 0;
    }
}
