"""WordNet ids of the classes of TinyImageNet and of the ImageNet subsets; a label is an index into its list."""

from collections.abc import Iterable

# TinyImageNet: the ids of its wnids.txt, sorted as class folders are (wnids.txt itself has another order).
_TINY_IMAGENET = """
    n01443537 n01629819 n01641577 n01644900 n01698640 n01742172 n01768244 n01770393 n01774384 n01774750 n01784675
    n01855672 n01882714 n01910747 n01917289 n01944390 n01945685 n01950731 n01983481 n01984695 n02002724 n02056570
    n02058221 n02074367 n02085620 n02094433 n02099601 n02099712 n02106662 n02113799 n02123045 n02123394 n02124075
    n02125311 n02129165 n02132136 n02165456 n02190166 n02206856 n02226429 n02231487 n02233338 n02236044 n02268443
    n02279972 n02281406 n02321529 n02364673 n02395406 n02403003 n02410509 n02415577 n02423022 n02437312 n02480495
    n02481823 n02486410 n02504458 n02509815 n02666196 n02669723 n02699494 n02730930 n02769748 n02788148 n02791270
    n02793495 n02795169 n02802426 n02808440 n02814533 n02814860 n02815834 n02823428 n02837789 n02841315 n02843684
    n02883205 n02892201 n02906734 n02909870 n02917067 n02927161 n02948072 n02950826 n02963159 n02977058 n02988304
    n02999410 n03014705 n03026506 n03042490 n03085013 n03089624 n03100240 n03126707 n03160309 n03179701 n03201208
    n03250847 n03255030 n03355925 n03388043 n03393912 n03400231 n03404251 n03424325 n03444034 n03447447 n03544143
    n03584254 n03599486 n03617480 n03637318 n03649909 n03662601 n03670208 n03706229 n03733131 n03763968 n03770439
    n03796401 n03804744 n03814639 n03837869 n03838899 n03854065 n03891332 n03902125 n03930313 n03937543 n03970156
    n03976657 n03977966 n03980874 n03983396 n03992509 n04008634 n04023962 n04067472 n04070727 n04074963 n04099969
    n04118538 n04133789 n04146614 n04149813 n04179913 n04251144 n04254777 n04259630 n04265275 n04275548 n04285008
    n04311004 n04328186 n04356056 n04366367 n04371430 n04376876 n04398044 n04399382 n04417672 n04456115 n04465501
    n04486054 n04487081 n04501370 n04507155 n04532106 n04532670 n04540053 n04560804 n04562935 n04596742 n04597913
    n06596364 n07579787 n07583066 n07614500 n07615774 n07695742 n07711569 n07715103 n07720875 n07734744 n07747607
    n07749582 n07753592 n07768694 n07871810 n07873807 n07875152 n07920052 n09193705 n09246464 n09256479 n09332890
    n09428293 n12267677
"""
TINY_IMAGENET = tuple(_TINY_IMAGENET.split())

# The ImageNet subsets, in the order of the public code, which is the order of the labels [METHODS.md 17].
_SUBSETS = """
    nette  n01440764 n02102040 n02979186 n03000684 n03028079 n03394916 n03417042 n03425413 n03445777 n03888257
    woof   n02096294 n02093754 n02111889 n02088364 n02086240 n02089973 n02087394 n02115641 n02099601 n02105641
    fruit  n07753275 n07753592 n07745940 n07747607 n07749582 n07768694 n07753113 n07720875 n07718472 n07760859
    meow   n02123045 n02123159 n02123394 n02123597 n02124075 n02129165 n02129604 n02128925 n02128757 n02127052
    squawk n01806143 n02007558 n01818515 n02051845 n02056570 n01614925 n01843383 n01518878 n01860187 n01819313
    yellow n02206856 n12057211 n07753592 n07749582 n12144580 n04146614 n03530642 n02129165 n01773797 n01531178
"""
SUBSETS = {f"image{name}": tuple(ids) for name, *ids in map(str.split, _SUBSETS.strip().splitlines())}

# What people call all these classes: the first name of each synset, as ILSVRC-2012's synset_words.txt has it, and the
# words.txt of TinyImageNet.
_NAMES = """
    n01440764 tench, n01443537 goldfish, n01518878 ostrich, n01531178 goldfinch, n01614925 bald eagle,
    n01629819 European fire salamander, n01641577 bullfrog, n01644900 tailed frog, n01698640 American alligator,
    n01742172 boa constrictor, n01768244 trilobite, n01770393 scorpion, n01773797 garden spider, n01774384 black widow,
    n01774750 tarantula, n01784675 centipede, n01806143 peacock, n01818515 macaw, n01819313 sulphur-crested cockatoo,
    n01843383 toucan, n01855672 goose, n01860187 black swan, n01882714 koala, n01910747 jellyfish,
    n01917289 brain coral, n01944390 snail, n01945685 slug, n01950731 sea slug, n01983481 American lobster,
    n01984695 spiny lobster, n02002724 black stork, n02007558 flamingo, n02051845 pelican, n02056570 king penguin,
    n02058221 albatross, n02074367 dugong, n02085620 Chihuahua, n02086240 Shih-Tzu, n02087394 Rhodesian ridgeback,
    n02088364 beagle, n02089973 English foxhound, n02093754 Border terrier, n02094433 Yorkshire terrier,
    n02096294 Australian terrier, n02099601 golden retriever, n02099712 Labrador retriever, n02102040 English springer,
    n02105641 Old English sheepdog, n02106662 German shepherd, n02111889 Samoyed, n02113799 standard poodle,
    n02115641 dingo, n02123045 tabby, n02123159 tiger cat, n02123394 Persian cat, n02123597 Siamese cat,
    n02124075 Egyptian cat, n02125311 cougar, n02127052 lynx, n02128757 snow leopard, n02128925 jaguar, n02129165 lion,
    n02129604 tiger, n02132136 brown bear, n02165456 ladybug, n02190166 fly, n02206856 bee, n02226429 grasshopper,
    n02231487 walking stick, n02233338 cockroach, n02236044 mantis, n02268443 dragonfly, n02279972 monarch,
    n02281406 sulphur butterfly, n02321529 sea cucumber, n02364673 guinea pig, n02395406 hog, n02403003 ox,
    n02410509 bison, n02415577 bighorn, n02423022 gazelle, n02437312 Arabian camel, n02480495 orangutan,
    n02481823 chimpanzee, n02486410 baboon, n02504458 African elephant, n02509815 lesser panda, n02666196 abacus,
    n02669723 academic gown, n02699494 altar, n02730930 apron, n02769748 backpack, n02788148 bannister,
    n02791270 barbershop, n02793495 barn, n02795169 barrel, n02802426 basketball, n02808440 bathtub,
    n02814533 beach wagon, n02814860 beacon, n02815834 beaker, n02823428 beer bottle, n02837789 bikini,
    n02841315 binoculars, n02843684 birdhouse, n02883205 bow tie, n02892201 brass, n02906734 broom, n02909870 bucket,
    n02917067 bullet train, n02927161 butcher shop, n02948072 candle, n02950826 cannon, n02963159 cardigan,
    n02977058 cash machine, n02979186 cassette player, n02988304 CD player, n02999410 chain, n03000684 chain saw,
    n03014705 chest, n03026506 Christmas stocking, n03028079 church, n03042490 cliff dwelling,
    n03085013 computer keyboard, n03089624 confectionery, n03100240 convertible, n03126707 crane, n03160309 dam,
    n03179701 desk, n03201208 dining table, n03250847 drumstick, n03255030 dumbbell, n03355925 flagpole,
    n03388043 fountain, n03393912 freight car, n03394916 French horn, n03400231 frying pan, n03404251 fur coat,
    n03417042 garbage truck, n03424325 gasmask, n03425413 gas pump, n03444034 go-kart, n03445777 golf ball,
    n03447447 gondola, n03530642 honeycomb, n03544143 hourglass, n03584254 iPod, n03599486 jinrikisha, n03617480 kimono,
    n03637318 lampshade, n03649909 lawn mower, n03662601 lifeboat, n03670208 limousine, n03706229 magnetic compass,
    n03733131 maypole, n03763968 military uniform, n03770439 miniskirt, n03796401 moving van, n03804744 nail,
    n03814639 neck brace, n03837869 obelisk, n03838899 oboe, n03854065 organ, n03888257 parachute,
    n03891332 parking meter, n03902125 pay-phone, n03930313 picket fence, n03937543 pill bottle, n03970156 plunger,
    n03976657 pole, n03977966 police van, n03980874 poncho, n03983396 pop bottle, n03992509 potter's wheel,
    n04008634 projectile, n04023962 punching bag, n04067472 reel, n04070727 refrigerator, n04074963 remote control,
    n04099969 rocking chair, n04118538 rugby ball, n04133789 sandal, n04146614 school bus, n04149813 scoreboard,
    n04179913 sewing machine, n04251144 snorkel, n04254777 sock, n04259630 sombrero, n04265275 space heater,
    n04275548 spider web, n04285008 sports car, n04311004 steel arch bridge, n04328186 stopwatch, n04356056 sunglasses,
    n04366367 suspension bridge, n04371430 swimming trunks, n04376876 syringe, n04398044 teapot, n04399382 teddy,
    n04417672 thatch, n04456115 torch, n04465501 tractor, n04486054 triumphal arch, n04487081 trolleybus,
    n04501370 turnstile, n04507155 umbrella, n04532106 vestment, n04532670 viaduct, n04540053 volleyball,
    n04560804 water jug, n04562935 water tower, n04596742 wok, n04597913 wooden spoon, n06596364 comic book,
    n07579787 plate, n07583066 guacamole, n07614500 ice cream, n07615774 ice lolly, n07695742 pretzel,
    n07711569 mashed potato, n07715103 cauliflower, n07718472 cucumber, n07720875 bell pepper, n07734744 mushroom,
    n07745940 strawberry, n07747607 orange, n07749582 lemon, n07753113 fig, n07753275 pineapple, n07753592 banana,
    n07760859 custard apple, n07768694 pomegranate, n07871810 meat loaf, n07873807 pizza, n07875152 potpie,
    n07920052 espresso, n09193705 alp, n09246464 cliff, n09256479 coral reef, n09332890 lakeside, n09428293 seashore,
    n12057211 yellow lady's slipper, n12144580 corn, n12267677 acorn
"""
NAMES = dict(text.strip().split(maxsplit=1) for text in _NAMES.split(","))


def readable(classes: Iterable[str]) -> list[str]:
    """The names of classes for people: WordNet ids become words as far as `NAMES` knows them, others stay."""
    return [NAMES.get(name, name) for name in classes]
