package io.privyseal;

import io.grpc.CallCredentials;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.ChannelOption;
import io.grpc.netty.shaded.io.netty.channel.EventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.MultiThreadIoEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.nio.NioIoHandler;
import io.grpc.netty.shaded.io.netty.channel.socket.nio.NioDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.util.concurrent.DefaultThreadFactory;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.UnresolvedAddressException;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** The channel of a client, and what its failures mean. */
final class Connection implements AutoCloseable {
    private static final int MAX_MESSAGE = 16 * 1_048_576;
    private static final int MAX_METADATA = 64 * 1024;
    private static final String NO_NAME = "///all";

    private final Settings settings;
    private final LiveTls tls;
    private final EventLoopGroup loop;
    private final ManagedChannel channel;
    private final CallCredentials token;

    Connection(Settings settings) {
        this.settings = settings;
        this.tls = settings.plaintext() ? null : new LiveTls(settings.tls());
        this.token = settings.token() == null ? null : new Token(settings.token());
        Reconnect reconnect = new Reconnect();
        boolean unix = settings.targets().get(0).isUnix();
        String scheme = unix ? TargetsProvider.UNIX : TargetsProvider.TCP;
        NettyChannelBuilder builder = NettyChannelBuilder.forTarget(scheme + ":" + NO_NAME)
                .setNameResolverArg(TargetsProvider.PLAN, plan(reconnect))
                .defaultLoadBalancingPolicy("round_robin")
                .disableServiceConfigLookUp()
                .proxyDetector(address -> null)
                .userAgent("privyseal-java/" + Version.CURRENT)
                .maxInboundMessageSize(MAX_MESSAGE)
                // An error with more details than fit would end all calls of the connection.
                .maxInboundMetadataSize(MAX_METADATA)
                .keepAliveTime(30, TimeUnit.SECONDS)
                .keepAliveTimeout(10, TimeUnit.SECONDS)
                .keepAliveWithoutCalls(true)
                // Longer than gRPC counts, so never: the first order after a quiet hour finds a connection.
                .idleTimeout(365, TimeUnit.DAYS);
        if (tls == null) {
            builder.usePlaintext();
        } else {
            builder.sslContext(tls);
        }
        if (unix) {
            this.loop = new MultiThreadIoEventLoopGroup(
                    1, new DefaultThreadFactory("privyseal-unix", true), NioIoHandler.newFactory());
            // A null takes the option out that gRPC sets, which a Unix socket lacks and Netty would warn of.
            builder.eventLoopGroup(loop)
                    .channelType(NioDomainSocketChannel.class, UnixDomainSocketAddress.class)
                    .withOption(ChannelOption.SO_KEEPALIVE, null);
        } else {
            this.loop = null;
        }
        this.channel = builder.build();
        reconnect.use(channel);
    }

    private Targets.Plan plan(Reconnect reconnect) {
        String serverName =
                settings.plaintext() ? null : settings.tls().serverName().orElse(null);
        return new Targets.Plan(settings.targets(), settings.plaintext(), serverName, reconnect);
    }

    Channel channel() {
        return channel;
    }

    CallOptions options() {
        return token == null ? CallOptions.DEFAULT : CallOptions.DEFAULT.withCallCredentials(token);
    }

    boolean hasToken() {
        return token != null;
    }

    /** Returns what the end of a call means, which the caller wanted or not. */
    PrivysealException failure(Status status, Metadata trailers, boolean wanted) {
        if (channel.isShutdown()) {
            return PrivysealException.local(Status.Code.CANCELLED, "the client was closed", null);
        }
        if (status.getCode() == Status.Code.CANCELLED && !wanted) {
            // A server that is stopped by force cancels what it has under way.
            return bare(Status.UNAVAILABLE.withDescription("the server cancelled the call"));
        }
        return StatusDetails.read(status, trailers).map(PrivysealException::of).orElseGet(() -> bare(status));
    }

    private PrivysealException bare(Status status) {
        String text = Optional.ofNullable(status.getDescription()).orElse("no message");
        if (status.getCode() == Status.Code.UNAVAILABLE) {
            text = (status.getCause() == null ? text : rootMessage(status.getCause()))
                    + "; look whether a server listens at "
                    + settings.targets()
                    + (tls == null ? "" : ", and whether it and the client trust each other's certificates")
                    + Optional.ofNullable(tls)
                            .flatMap(LiveTls::complaint)
                            .map(complaint -> "; " + complaint)
                            .orElse("");
        } else if (status.getCode() == Status.Code.DEADLINE_EXCEEDED) {
            text = "no answer in time; look whether the server is overloaded, or give the call more time (" + text
                    + ")";
        }
        return PrivysealException.local(status.getCode(), text, status.getCause());
    }

    private static String rootMessage(Throwable error) {
        Throwable root = error;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        if (root instanceof UnresolvedAddressException) {
            return "a target's name has no address in DNS";
        }
        return Optional.ofNullable(root.getMessage()).orElseGet(root::toString);
    }

    /** Ends all calls, and waits a second at most for the connections to close. */
    @Override
    public void close() {
        channel.shutdownNow();
        try {
            channel.awaitTermination(1, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        if (loop != null) {
            loop.shutdownGracefully(0, 1, TimeUnit.SECONDS);
        }
    }
}
