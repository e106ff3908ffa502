package io.privyseal;

import io.grpc.Attributes;
import io.grpc.EquivalentAddressGroup;
import io.grpc.NameResolver;
import io.grpc.NameResolver.ResolutionResult;
import io.grpc.StatusOr;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicBoolean;

/** Resolves all targets of a client into one list of addresses, again whenever a connection ends or fails. */
final class Targets extends NameResolver {
    private final Plan plan;
    private final Reconnect reconnect;
    private final Executor executor;
    private final AtomicBoolean running = new AtomicBoolean();
    private Listener2 listener;
    private volatile boolean stopped;

    /** What a client's resolver needs to know. */
    record Plan(List<Target> targets, boolean plaintext, String serverName, Reconnect reconnect) {}

    Targets(Plan plan, Args args) {
        this.plan = plan;
        this.reconnect = plan.reconnect();
        this.executor = args.getOffloadExecutor();
        reconnect.use(args);
    }

    @Override
    public String getServiceAuthority() {
        return authority(plan.targets().get(0));
    }

    @Override
    public void start(Listener2 listener) {
        this.listener = listener;
        resolve();
    }

    @Override
    public void refresh() {
        reconnect.failed();
        resolve();
    }

    @Override
    public void shutdown() {
        stopped = true;
    }

    private void resolve() {
        if (!stopped && running.compareAndSet(false, true)) {
            executor.execute(() -> {
                List<EquivalentAddressGroup> found = new ArrayList<>();
                for (Target target : plan.targets()) {
                    addresses(target).forEach(address -> found.add(group(address, target)));
                }
                running.set(false);
                if (!stopped) {
                    listener.onResult(ResolutionResult.newBuilder()
                            .setAddressesOrError(StatusOr.fromValue(found))
                            .build());
                }
            });
        }
    }

    /** Returns the addresses, or one without an IP: connecting to that fails, and asks for names again later. */
    private List<SocketAddress> addresses(Target target) {
        if (target.isUnix()) {
            return List.of(UnixDomainSocketAddress.of(target.socket()));
        }
        List<SocketAddress> found = new ArrayList<>();
        try {
            for (InetAddress address : InetAddress.getAllByName(target.lookup())) {
                // A hosts file can make localhost another machine.
                if (!plan.plaintext() || address.isLoopbackAddress()) {
                    found.add(new InetSocketAddress(address, target.port()));
                }
            }
        } catch (UnknownHostException e) {
            // As if no address had been found.
        }
        return found.isEmpty() ? List.of(InetSocketAddress.createUnresolved(target.host(), target.port())) : found;
    }

    private EquivalentAddressGroup group(SocketAddress address, Target target) {
        return new EquivalentAddressGroup(
                address,
                Attributes.newBuilder()
                        .set(EquivalentAddressGroup.ATTR_AUTHORITY_OVERRIDE, authority(target))
                        .build());
    }

    private String authority(Target target) {
        if (plan.serverName() != null) {
            return plan.serverName() + ":" + target.port();
        }
        return target.isUnix() ? "localhost" : target.toString();
    }
}
